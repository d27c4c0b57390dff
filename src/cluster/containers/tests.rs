//! Clusters in real containers, where a Docker daemon answers and the default images are there; elsewhere each test says
//! that it was skipped. `SHASTA_CLUSTER=containers` makes them mandatory.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fs,
    io::Write as _,
    process::Command,
};

use serde_json::json;
use testcontainers::{
    GenericImage, ImageExt,
    bollard::query_parameters::{InspectContainerOptions, ListContainersOptionsBuilder},
    runners::AsyncRunner,
};

use super::{image::parts, *};
use crate::{
    cluster::{Cluster, external, tests::variant, topic},
    output::terminal::say,
};

const TEST: &str = "shasta.test";

fn starting(variant: &Variant) -> Starting<'_> {
    Starting { variant, brokers: 3, pull: Pull::Never, stop: &|| false, progress: &|_| () }
}

/// A daemon and the default images, or the word that the test named so was skipped.
fn prepared(test: &str, variant: &Variant) -> Option<Prepared> {
    match prepare(starting(variant)) {
        Ok(prepared) => Some(prepared),
        // Straight to standard error, since the harness hides what a test that passes prints.
        Err(ClusterError::Containers(lack)) if lack.is_lack() && !is_mandatory() => {
            say(format_args!("skipped {test}: {lack}"));
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn is_mandatory() -> bool {
    std::env::var("SHASTA_CLUSTER").is_ok_and(|wanted| wanted == "containers")
}

/// The names of all containers of `run`, running or not.
fn containers_of(run: &str) -> Vec<String> {
    let daemon = Daemon::connect().unwrap();
    let label = format!("{}={run}", owner::RUN);
    let filters = HashMap::from([("label", vec![label.as_str()])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let found = daemon.ask("list", daemon.docker.list_containers(Some(options))).unwrap();
    let mut names: Vec<_> = found.into_iter().flat_map(|one| one.names.unwrap_or_default()).collect();
    names.sort();
    names
}

/// A container that does nothing, of a run and an owner.
fn idle(daemon: &Daemon, image: &str, name: &str, run: &str, owner: &Owner) -> String {
    let (repository, tag) = parts(image);
    let request = GenericImage::new(repository, tag)
        .with_entrypoint("sleep")
        .with_network("host")
        .with_container_name(name)
        .with_label(owner::RUN, run)
        .with_label(owner::OWNER, owner.label())
        .with_label(TEST, "true")
        .with_cmd(["600"]);
    let container = daemon.wait(&|| false, request.start()).unwrap().unwrap();
    let id = container.id().to_owned();
    std::mem::forget(container);
    id
}

fn exists(daemon: &Daemon, id: &str) -> bool {
    daemon.ask("look", daemon.docker.inspect_container(id, None::<InspectContainerOptions>)).is_ok()
}

fn docker(arguments: &[&str], input: &[u8]) {
    let mut command = Command::new("docker");
    // The client of another version would want a builder of its own.
    command.args(arguments).env("DOCKER_BUILDKIT", "0");
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    assert!(child.wait().unwrap().success(), "docker {arguments:?}");
}

/// One cluster for everything that needs one, since each costs seconds of two cores.
#[test]
fn a_cluster_serves_a_topic_and_leaves_nothing() {
    let variant = variant();
    let Some(prepared) = prepared("a cluster in containers", &variant) else { return };
    let said = RefCell::new(vec![]);
    let progress = |line: &str| said.borrow_mut().push(line.to_owned());
    let starting = Starting { progress: &progress, ..starting(&variant) };
    let mut cluster = start_within(prepared, starting, ready_max(3)).unwrap();
    let told = |line: &String| line.contains("`no.such.property` in [broker] has no effect");
    assert!(said.borrow().iter().any(told), "{:?}", said.borrow());
    assert_eq!(cluster.ended().unwrap(), [""; 0]);
    let run = cluster.run.clone();
    assert_eq!(containers_of(&run).len(), 4);

    let made = topic::prepare(&cluster.endpoints().kafka, &variant, &|| false).unwrap();
    assert!(made.created && made.log_append_time);
    assert!(made.partitions.iter().all(|p| p.replicas.len() == 3 && p.isr.len() == 3));
    assert_eq!(external::connect(cluster.endpoints().clone(), &|| false, &|_| ()).unwrap().substrate(), "external");

    let settings = cluster.settings();
    assert_eq!((cluster.substrate(), &settings["kafka_version"]), ("containers", &json!(KAFKA_VERSION)));
    assert_eq!(settings["images"]["kafka"]["name"], format!("apache/kafka:{KAFKA_VERSION}"));
    assert!(settings["images"]["redis"]["id"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(settings["brokers"]["applied"], json!({ "num.io.threads": "2" }));
    assert_eq!(settings["brokers"]["broker_1"]["min.insync.replicas"], "2");
    assert_eq!(settings["redis"]["config"]["appendonly"], "yes");

    // One that ends by itself is told of, and the same words each time.
    let broker = cluster.containers.iter().find(|running| running.name == "broker 2").unwrap();
    docker(&["kill", broker.container.id()], b"");
    let mut told = cluster.ended().unwrap();
    while told.is_empty() {
        std::thread::sleep(Duration::from_millis(10));
        told = cluster.ended().unwrap();
    }
    assert!(told.len() == 1 && told[0].starts_with("broker 2 ended by itself (exit code 137)"), "{told:?}");
    assert_eq!(cluster.ended().unwrap(), told);

    // A panic unwinds through the value.
    let unwound: std::thread::Result<()> = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _cluster = cluster;
        std::panic::resume_unwind(Box::new("a bench failed"));
    }));
    assert!(unwound.is_err());
    assert_eq!(containers_of(&run), [""; 0]);
}

#[test]
fn a_start_removes_what_dead_owners_left_and_nothing_else() {
    let Some(Prepared { daemon, images }) = prepared("removing what dead runs left", &variant()) else { return };
    let image = &images.redis.name;
    let own = Owner::own();
    let dead = Owner::parse(&own.label().replacen(' ', "0 ", 1)).unwrap();
    assert!(dead.is_dead());
    let left = idle(&daemon, image, "shasta-test-left", "left", &dead);
    let kept = idle(&daemon, image, &format!("{}test", owner::KEPT), "kept", &dead);
    let alive = idle(&daemon, image, "shasta-test-alive", "alive", &own);
    let said = RefCell::new(vec![]);
    let progress = |line: &str| said.borrow_mut().push(line.to_owned());
    let again = prepare(Starting { progress: &progress, ..starting(&variant()) }).unwrap();
    assert_eq!([&left, &kept, &alive].map(|id| exists(&again.daemon, id)), [false, true, true]);
    assert!(said.borrow()[0].starts_with("removed "), "{:?}", said.borrow());
    assert_eq!(daemon.remove(TEST, |name, _| name.ends_with("test") || name.ends_with("alive")).unwrap(), 2);
}

#[test]
fn a_start_can_be_interrupted_and_leaves_nothing() {
    let Some(prepared) = prepared("interrupting a start", &variant()) else { return };
    let mut cluster = ContainerCluster::new(prepared, &variant(), Held::choose(3, 1).unwrap()).unwrap();
    let asked = Cell::new(0);
    let stop = || asked.replace(asked.get() + 1) > 20;
    let launched = cluster.launch(&stop);
    let variant = variant();
    let starting = Starting { stop: &stop, ..starting(&variant) };
    let stopped = launched.and_then(|()| cluster.wait_ready(starting, ready_max(3)));
    assert!(matches!(stopped, Err(ClusterError::Interrupted)));
    let run = cluster.run.clone();
    drop(cluster);
    assert_eq!(containers_of(&run), [""; 0]);
}

#[test]
fn a_broker_that_never_gets_ready_shows_its_last_lines_and_is_removed() {
    let Some(Prepared { images, .. }) = prepared("an image that never gets ready", &variant()) else { return };
    let name = "shasta-test-never-ready:1";
    let idle = format!("FROM {}\nENTRYPOINT []\nCMD [\"sh\", \"-c\", \"seq 30; sleep 600\"]\n", images.redis.name);
    docker(&["build", "--tag", name, "-"], idle.as_bytes());
    let variant = Variant { kafka_image: Some(name.to_owned()), ..variant() };
    let never = prepare(starting(&variant)).unwrap();
    let refused = start_within(never, starting(&variant), Duration::from_secs(3)).err().unwrap();
    let text = refused.to_string();
    assert!(text.contains(name) && text.contains("(broker 1 does not listen) and is removed"), "{text}");
    let lines: Vec<String> = (11..=30).map(|n| n.to_string()).collect();
    assert!(text.ends_with(&format!("broker 1:\n{}", lines.join("\n"))), "{text}");
    let daemon = Daemon::connect().unwrap();
    let of_image = HashMap::from([("ancestor", vec![name])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&of_image).build();
    assert_eq!(daemon.ask("list", daemon.docker.list_containers(Some(options))).unwrap().len(), 0);
    docker(&["rmi", name], b"");
}

#[test]
fn an_image_that_is_not_there_and_cannot_be_pulled_is_named() {
    if prepared("an image that cannot be pulled", &variant()).is_none() {
        return;
    }
    // A registry that does not answer.
    let variant = Variant { kafka_image: Some("127.0.0.1:1/no/kafka:9".to_owned()), ..variant() };
    for (pull, why) in [(Pull::Missing, "refused"), (Pull::Never, "SHASTA_CLUSTER is unset")] {
        let text = prepare(Starting { pull, ..starting(&variant) }).err().unwrap().to_string();
        for part in ["127.0.0.1:1/no/kafka:9 is not on this machine", "kafka_image", "scripts/images", why] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}

/// An image without a file, for a processor that this machine does not have, as `docker load` takes it.
fn foreign(name: &str, architecture: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let layer = vec![0; 1024];
    fs::write(dir.path().join("layer.tar"), &layer).unwrap();
    // SHA-256 of the 1,024 zero bytes that are an empty archive.
    let digest = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    let config = json!({
        "architecture": architecture, "os": "linux", "config": {}, "rootfs": { "type": "layers", "diff_ids": [digest] },
    });
    fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
    fs::write(dir.path().join("manifest.json"), manifest.to_string()).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(dir.path()).args(["-cf", "-", "config.json", "layer.tar", "manifest.json"]);
    tar.output().unwrap().stdout
}

#[test]
fn an_image_for_other_processors_is_refused() {
    let Some(Prepared { daemon, .. }) = prepared("an image for other processors", &variant()) else { return };
    let (name, other) = ("shasta-test-foreign:1", if daemon.architecture == "arm64" { "amd64" } else { "arm64" });
    docker(&["load"], &foreign(name, other));
    let variant = Variant { redis_image: Some(name.to_owned()), ..variant() };
    let text = prepare(starting(&variant)).err().unwrap().to_string();
    assert!(text.contains(&format!("{name} is for {other}")) && text.contains("docker pull --platform"), "{text}");
    docker(&["rmi", name], b"");
}

#[test]
fn a_kept_cluster_outlives_its_value_until_the_command_ends_it() {
    let Some(prepared) = prepared("a kept cluster", &variant()) else { return };
    let mut cluster = ContainerCluster::new(prepared, &variant(), Held::choose(3, 1).unwrap()).unwrap();
    cluster.launch(&|| false).unwrap();
    let run = cluster.run.clone();
    let end = cluster.keep().unwrap();
    drop(cluster);
    let names = containers_of(&run);
    assert!(names.len() == 4 && names[0].starts_with("/shasta-kept-"), "{names:?}");
    assert!(Command::new("sh").args(["-c", &end]).output().unwrap().status.success());
    assert_eq!(containers_of(&run), [""; 0]);
}
