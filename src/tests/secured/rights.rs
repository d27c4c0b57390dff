//! Access control lists, made by Kafka's own requests over an open listener: one round trip where its tools take a JVM.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

/// Codes of Kafka's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Operation {
    Read = 3,
    Write = 4,
    Create = 5,
    Describe = 8,
    DescribeConfigs = 10,
}

/// What a right is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource<'a> {
    Topic(&'a str),
    /// All groups whose names begin so.
    Groups(&'a str),
}

/// The groups of all runs.
pub const GROUPS: Resource<'static> = Resource::Groups("shasta-");

const API_VERSIONS: i16 = 18;
const DESCRIBE_ACLS: i16 = 29;
const CREATE_ACLS: i16 = 30;
const TOPIC: i8 = 2;
const GROUP: i8 = 3;
const ANY: i8 = 1;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;
const ALLOW: i8 = 3;
const KNOWN_MAX: Duration = Duration::from_secs(20);

/// Whether a broker serves requests.
pub fn answers(address: &str) -> io::Result<()> {
    let answer = ask(address, API_VERSIONS, 0, &[])?;
    if answer.starts_with(&[0, 0]) { Ok(()) } else { Err(io::Error::other("not yet")) }
}

/// Gives each user each right, and waits until the broker knows the last of them.
pub fn grant(address: &str, users: &[&str], operations: &[Operation], resource: Resource<'_>) -> io::Result<()> {
    let (kind, name, pattern) = match resource {
        Resource::Topic(name) => (TOPIC, name, LITERAL),
        Resource::Groups(name) => (GROUP, name, PREFIXED),
    };
    let mut body = ((users.len() * operations.len()) as i32).to_be_bytes().to_vec();
    for (user, operation) in users.iter().flat_map(|user| operations.iter().map(move |operation| (user, operation))) {
        body.push(kind as u8);
        text(&mut body, name);
        body.push(pattern as u8);
        text(&mut body, &format!("User:{user}"));
        text(&mut body, "*");
        body.extend([*operation as u8, ALLOW as u8]);
    }
    let answer = ask(address, CREATE_ACLS, 1, &body)?;
    let refused = answer.get(8..10).is_none_or(|code| code != [0, 0]);
    let deadline = Instant::now() + KNOWN_MAX;
    let (Some(user), Some(operation)) = (users.last(), operations.last()) else { return Ok(()) };
    while !refused && Instant::now() < deadline {
        let mut filter = vec![kind as u8];
        text(&mut filter, name);
        filter.push(pattern as u8);
        text(&mut filter, &format!("User:{user}"));
        text(&mut filter, "*");
        filter.extend([*operation as u8, ANY as u8]);
        // Throttle time, error, no message, and then how many resources there are.
        let found = ask(address, DESCRIBE_ACLS, 1, &filter)?;
        if found.get(8..12).is_some_and(|count| count != [0; 4]) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Err(io::Error::other(format!("the rights were not granted: {answer:?}")))
}

fn text(to: &mut Vec<u8>, text: &str) {
    to.extend((text.len() as i16).to_be_bytes());
    to.extend(text.as_bytes());
}

/// A request and its answer, without their headers.
fn ask(address: &str, key: i16, version: i16, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = Vec::new();
    request.extend(key.to_be_bytes());
    request.extend(version.to_be_bytes());
    // Correlation, and no client's name.
    request.extend([0, 0, 0, 1, 0xff, 0xff]);
    request.extend(body);
    stream.write_all(&(request.len() as i32).to_be_bytes())?;
    stream.write_all(&request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; i32::from_be_bytes(length).max(4) as usize];
    stream.read_exact(&mut answer)?;
    Ok(answer.split_off(4))
}
