//! Against real Redis nodes: what a node says of itself, and what its errors mean.

use std::{net::TcpListener, time::Duration};

use shasta_reader::topology::{Evicted, Primaries, Seeds, told};

use crate::{cluster::TemporaryNodes, variant::RedisMode};

fn told_of(url: &str) -> String {
    let seeds = Seeds::parse(url).unwrap();
    let mut opened = seeds.open(&seeds.addresses()[0], Duration::from_millis(500));
    let error = opened.as_mut().map_or_else(|error| error.clone(), |node| redis::cmd("PING").exec(node).unwrap_err());
    told(&error, seeds.is_tls())
}

#[test]
fn only_advice_that_fits_the_error_is_given() {
    let redis = TemporaryNodes::new(RedisMode::Single, &[]);
    let hangs_up = TcpListener::bind("127.0.0.1:0").unwrap();
    let tls = format!("redis://{}", hangs_up.local_addr().unwrap());
    std::thread::spawn(move || hangs_up.incoming().for_each(drop));
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap();

    let unknown = told_of("redis://no-such-host.invalid:6379");
    assert!(unknown.contains("name") && !unknown.contains("TLS") && !unknown.contains("rediss"), "{unknown}");
    let refused = told_of("redis://127.0.0.1:1");
    assert!(refused.contains("nothing listens there") && !refused.contains("TLS"), "{refused}");
    assert!(told_of(&tls).contains("rediss://"), "{}", told_of(&tls));
    let paused = told_of(&format!("redis://{at}"));
    assert!(paused.contains("did not answer in time") && !paused.contains("TLS"), "{paused}");
    let plain = told_of(&redis.url().replace("redis://", "rediss://"));
    assert!(plain.contains("write redis://"), "{plain}");
    let password = told_of(&redis.url().replace("redis://", "redis://:x@"));
    assert!(password.contains("refuses user or password, or wants none"), "{password}");
    redis::cmd("CONFIG").arg("SET").arg("databases").arg(1).exec(&mut redis.node(0)).unwrap_err();
    let database = told_of(&format!("{}/99", redis.url()));
    assert!(database.contains("no database of this number"), "{database}");
}

#[test]
fn what_a_primary_refuses_is_told_by_the_setting_that_is_why() {
    let redis = TemporaryNodes::new(RedisMode::Single, &[("maxmemory", "1mb"), ("maxmemory-policy", "noeviction")]);
    let mut node = redis.node(0);
    let error = redis::cmd("SET")
        .arg("k")
        .arg("v".repeat(1 << 20))
        .exec(&mut node)
        .and_then(|()| redis::cmd("SET").arg("l").arg("v").exec(&mut node));
    let error = error.unwrap_err();
    assert!(told(&error, false).contains("raise its maxmemory"), "{error}");
    let set = |name: &str, value: &str| {
        redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut redis.node(0)).unwrap()
    };
    set("maxmemory", "0");
    set("min-replicas-to-write", "1");
    let error = redis::cmd("SET").arg("k").arg("v").exec(&mut node).unwrap_err();
    assert!(told(&error, false).contains("min-replicas-to-write"), "{error}");
}

#[test]
fn evicted_keys_are_counted() {
    let settings = [("maxmemory", "2mb"), ("maxmemory-policy", "allkeys-lru")];
    let nodes = TemporaryNodes::new(RedisMode::Single, &settings);
    let mut redis = Primaries::connect(Seeds::parse(&nodes.url()).unwrap(), Duration::from_secs(5)).unwrap();
    let before = Evicted::ask(&mut redis).unwrap();
    assert_eq!(before, Evicted { keys: 0, policy: "allkeys-lru".to_owned() });
    for key in 0..2_000 {
        redis::cmd("SET").arg(key).arg("v".repeat(1_000)).exec(&mut nodes.node(0)).unwrap();
    }
    assert!(Evicted::ask(&mut redis).unwrap().keys > 0);
}
