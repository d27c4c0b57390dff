//! The store's script in the shapes that only benches need, made of the file that the store runs.

/// What the store runs.
pub const SCRIPT: &str = include_str!("../../src/store/store.lua");

/// The same, but that Redis chooses each stream ID: redis-benchmark sends one and the same command again and again, and
/// the offset in it would be stale from the second time on. With a generation above any ID and a sequence that is not a
/// number, nothing else in the script takes another way.
pub fn with_ids_of_redis() -> String {
    let replaced = |text: String, from: &str, to: &str| {
        assert_eq!(text.matches(from).count(), 1, "store.lua has changed: `{from}`");
        text.replace(from, to)
    };
    let text = replaced(SCRIPT.to_owned(), "local id = ARGV[1] .. '-' .. ARGV[2]", "local id = '*'");
    let snapshot = "redis.call('HSET', KEYS[1], ARGV[6], ARGV[7])";
    replaced(text, snapshot, &format!("id = added\n{snapshot}"))
}

/// A library of functions with both.
pub fn library() -> String {
    let function =
        |name: &str, body: &str| format!("redis.register_function('{name}', function(KEYS, ARGV)\n{body}\nend)\n");
    let (store, any) = (function("shasta_store", SCRIPT), function("shasta_store_any", &with_ids_of_redis()));
    format!("#!lua name=shasta_bench\n{store}{any}")
}

/// The arguments of an event of some tag with an ID of Redis' choice, for a script or a function named `command`, `name`.
pub fn arguments(command: &str, name: &str, data: &[u8]) -> Vec<Vec<u8>> {
    let key = |kind| format!("shasta:{{shasta/__rand_int__/load}}:{kind}");
    let (snapshot, delta, meta) = (key("snapshot"), key("delta"), key("meta"));
    let head =
        [command, name, "3", &snapshot, &delta, &meta, "9999999999999", "1", "bench", "sequence:3", "nan", "n00"];
    let text = |argument: &str| argument.as_bytes().to_vec();
    head.into_iter().map(text).chain([data.to_vec(), text("100"), text("0")]).collect()
}
