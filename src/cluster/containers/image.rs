//! An image: which one is wanted, whether it is here or can be pulled, and whether this machine can run it.

use std::pin::pin;

use serde_json::{Value, json};
use testcontainers::bollard::{errors::Error as DockerError, query_parameters::CreateImageOptionsBuilder};

use super::{
    Starting,
    daemon::{Daemon, next},
    error::{ContainersError, is_full},
};
use crate::{
    cluster::{ClusterError, KAFKA_VERSION},
    variant::is_image,
};

/// The brokers' image, unless the variant or the environment names another.
const KAFKA: &str = "apache/kafka";
/// Redis'.
const REDIS: &str = "redis:7";
/// What `scripts/images` marks its images with.
const STAND_IN: &str = "stand-in";

/// What to do about an image that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// Pull it.
    Missing,
    /// Give up: nobody asked for containers, and they are hundreds of MB.
    Never,
}

/// An image that is here and runs here.
#[derive(Debug)]
pub(super) struct Image {
    /// Its name, tag or digest included.
    pub(super) name: String,
    id: String,
    digests: Vec<String>,
    pub(super) stand_in: bool,
}

/// The two that a cluster is made of.
#[derive(Debug)]
pub(super) struct Images {
    pub(super) kafka: Image,
    pub(super) redis: Image,
}

impl Images {
    /// Finds or pulls what the variant, or rather the environment, names.
    pub(super) fn of(daemon: &Daemon, starting: Starting<'_>) -> Result<Self, ClusterError> {
        let variant = starting.variant;
        let env = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let default = format!("{KAFKA}:{KAFKA_VERSION}");
        let kafka = chosen("SHASTA_KAFKA_IMAGE", env("SHASTA_KAFKA_IMAGE"), variant.kafka_image.as_deref(), &default)?;
        let redis = chosen("SHASTA_REDIS_IMAGE", env("SHASTA_REDIS_IMAGE"), variant.redis_image.as_deref(), REDIS)?;
        Ok(Self {
            kafka: Image::of(daemon, &kafka, "SHASTA_KAFKA_IMAGE or the variant's kafka_image", starting)?,
            redis: Image::of(daemon, &redis, "SHASTA_REDIS_IMAGE or the variant's redis_image", starting)?,
        })
    }
}

/// The environment's word, else the variant's, which was checked when it was loaded, else the default.
fn chosen(
    variable: &str,
    of_env: Option<String>,
    of_variant: Option<&str>,
    default: &str,
) -> Result<String, ContainersError> {
    match of_env {
        Some(name) if is_image(&name) => Ok(name),
        Some(name) => Err(ContainersError::BadImage { given: format!("{variable}={name}") }),
        None => Ok(of_variant.unwrap_or(default).to_owned()),
    }
}

impl Image {
    fn of(daemon: &Daemon, name: &str, setting: &'static str, starting: Starting<'_>) -> Result<Self, ClusterError> {
        let (repository, tag) = parts(name);
        let name = format!("{repository}:{tag}");
        if Self::inspect(daemon, &name)?.is_none() {
            if starting.pull == Pull::Never {
                let reason = "nobody asked for that: SHASTA_CLUSTER is unset".to_owned();
                return Err(ContainersError::NoImage { image: name, reason, setting }.into());
            }
            (starting.progress)(&format!("pulling {name}"));
            daemon.wait(starting.stop, pull(daemon, &name, setting))??;
        }
        let found = Self::inspect(daemon, &name)?.ok_or_else(|| {
            let reason = "it is still not there after a pull".to_owned();
            ContainersError::NoImage { image: name.clone(), reason, setting }
        })?;
        let (image, has) = found;
        let needs = daemon.architecture.clone();
        // One that does not say is the daemon's to judge.
        if !has.is_empty() && has != needs {
            return Err(ContainersError::Architecture { image: name, has, needs, setting }.into());
        }
        Ok(image)
    }

    /// The image and its architecture, if it is here.
    fn inspect(daemon: &Daemon, name: &str) -> Result<Option<(Self, String)>, ContainersError> {
        let asked = async {
            match daemon.docker.inspect_image(name).await {
                Err(DockerError::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
                other => other.map(Some),
            }
        };
        let Some(found) = daemon.ask("look at an image", asked)? else { return Ok(None) };
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        let image = Self {
            name: name.to_owned(),
            id: found.id.unwrap_or_default(),
            digests: found.repo_digests.unwrap_or_default(),
            stand_in: labels.get(STAND_IN).is_some_and(|value| value == "true"),
        };
        Ok(Some((image, found.architecture.unwrap_or_default())))
    }

    /// For the manifest.
    pub(super) fn json(&self) -> Value {
        json!({ "name": self.name, "id": self.id, "digests": self.digests, "stand_in": self.stand_in })
    }

    /// For a line of progress.
    pub(super) fn shown(&self) -> String {
        format!("{}{}", self.name, if self.stand_in { " (a stand-in)" } else { "" })
    }
}

async fn pull(daemon: &Daemon, name: &str, setting: &'static str) -> Result<(), ContainersError> {
    let options = CreateImageOptionsBuilder::new().from_image(name).build();
    let mut parts = pin!(daemon.docker.create_image(Some(options), None, None));
    while let Some(part) = next(parts.as_mut()).await {
        part.map_err(|error| unpulled(name, setting, daemon.answer("pull an image", &error), &daemon.architecture))?;
    }
    Ok(())
}

/// Why an image could not be pulled; what is not the registry's or the image's fault is passed on.
fn unpulled(name: &str, setting: &'static str, error: ContainersError, needs: &str) -> ContainersError {
    let image = name.to_owned();
    match error {
        ContainersError::Refused { reason, .. } if reason.contains("no matching manifest") => {
            ContainersError::Architecture {
                image,
                has: "other processors".to_owned(),
                needs: needs.to_owned(),
                setting,
            }
        }
        ContainersError::Refused { reason, .. } if !is_full(&reason) => {
            ContainersError::NoImage { image, reason, setting }
        }
        other => other,
    }
}

/// Repository and tag, `latest` where there is none; a digest's hexadecimal digits pass for a tag.
pub(super) fn parts(name: &str) -> (&str, &str) {
    let after_host = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[after_host..].rfind(':') {
        Some(colon) => (&name[..after_host + colon], &name[after_host + colon + 1..]),
        None => (name, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_apart() {
        assert_eq!(parts("redis"), ("redis", "latest"));
        assert_eq!(parts("apache/kafka:4.1.1"), ("apache/kafka", "4.1.1"));
        assert_eq!(parts("localhost:5000/apache/kafka"), ("localhost:5000/apache/kafka", "latest"));
        assert_eq!(parts("a:5000/kafka:4"), ("a:5000/kafka", "4"));
        assert_eq!(parts("redis@sha256:ab12"), ("redis@sha256", "ab12"));
    }

    #[test]
    fn the_environment_lies_over_the_variant_over_the_default() {
        let chosen = |env: Option<&str>, variant| chosen("X", env.map(str::to_owned), variant, "d:1");
        assert_eq!(chosen(None, None).unwrap(), "d:1");
        assert_eq!(chosen(None, Some("v:1")).unwrap(), "v:1");
        assert_eq!(chosen(Some("e:1"), Some("v:1")).unwrap(), "e:1");
        let text = chosen(Some("no image"), None).unwrap_err().to_string();
        assert!(text.starts_with("X=no image: must be the name of an image"), "{text}");
    }

    #[test]
    fn a_pull_that_fails_says_whether_it_is_the_registry_the_image_or_the_disk() {
        let of = |reason: &str| {
            let refused = ContainersError::Refused { what: "pull".to_owned(), reason: reason.to_owned() };
            unpulled("a/b:1", "X", refused, "arm64").to_string()
        };
        let none = of("Get \"https://registry/v2/\": dial tcp: lookup registry: no such host");
        assert!(none.contains("a/b:1 is not on this machine") && none.contains("scripts/images"), "{none}");
        assert!(of("manifest for a/b:1 not found: manifest unknown").contains("correct its name (X)"));
        let other = of("no matching manifest for linux/arm64 in the manifest list entries");
        assert!(other.contains("docker pull --platform linux/arm64 a/b:1"), "{other}");
    }
}
