//! The containers of one cluster, from their start to their removal.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testcontainers::{
    ContainerAsync, GenericImage, ImageExt, bollard::query_parameters::RenameContainerOptionsBuilder,
    runners::AsyncRunner,
};

use super::{
    Prepared, STARTED, Starting,
    daemon::Daemon,
    error::ContainersError,
    image::{Images, parts},
    owner::{self, Owner},
    recipe::{self, Recipe},
};
use crate::{
    cluster::{
        Cluster, ClusterError, Endpoints, KafkaAccess, broker, effective_config, ports::Held, readiness::not_ready,
        redis_nodes::RedisNodes, redis_server, storage,
    },
    machine::process::start_time_ticks,
    variant::{RedisMode, Variant},
};

const POLL: Duration = Duration::from_millis(50);
const LOG_LINES: usize = 20;

/// Brokers and a Redis in containers that this process started.
pub struct ContainerCluster {
    pub(super) daemon: Daemon,
    images: Images,
    pub(super) run: String,
    pub(super) containers: Vec<Running>,
    endpoints: Endpoints,
    redis: RedisNodes,
    variant: Variant,
    /// When Docker was last asked about the containers.
    pub(super) looked: Instant,
    held: Held,
}

/// One that was started.
pub(super) struct Running {
    pub(super) name: String,
    pub(super) container: ContainerAsync<GenericImage>,
    /// Process id and start time, where the process is visible here.
    pub(super) process: Option<(u32, u64)>,
    /// How it ended.
    pub(super) ended: Option<String>,
}

impl ContainerCluster {
    /// With no container yet.
    pub(super) fn new(
        Prepared { daemon, images }: Prepared,
        variant: &Variant,
        held: Held,
    ) -> Result<Self, ClusterError> {
        let redis = RedisNodes::new(RedisMode::Single, held.redis.clone());
        Ok(Self {
            daemon,
            images,
            run: storage::new_cluster_id()?,
            containers: Vec::new(),
            endpoints: Endpoints { kafka: KafkaAccess::plaintext(held.bootstrap()), redis_url: redis.url() },
            redis,
            variant: variant.clone(),
            looked: Instant::now(),
            held,
        })
    }

    pub(super) fn launch(&mut self, stop: &dyn Fn() -> bool) -> Result<(), ClusterError> {
        let held = &self.held;
        let (kafka, redis) = (self.images.kafka.name.clone(), self.images.redis.name.clone());
        let mut wanted = vec![("redis".to_owned(), &redis, recipe::redis(held.redis[0].client, &self.variant))];
        for i in 0..held.nodes.len() {
            let recipe = recipe::broker(&kafka, i, &held.nodes, &self.run, &self.variant);
            wanted.push((format!("broker {}", i + 1), &kafka, recipe));
        }
        STARTED.store(true, Relaxed);
        for (name, image, recipe) in wanted {
            let container = self.create(&name, image, recipe, stop)?;
            // In the list at once: a container must not drop by itself, see `remove`.
            self.containers.push(Running { name, container, process: None, ended: None });
            let last = self.containers.len() - 1;
            self.containers[last].process = self.process(self.containers[last].container.id())?;
        }
        Ok(())
    }

    fn create(
        &self,
        name: &str,
        image: &str,
        recipe: Recipe,
        stop: &dyn Fn() -> bool,
    ) -> Result<ContainerAsync<GenericImage>, ClusterError> {
        let (repository, tag) = parts(image);
        let mut request = GenericImage::new(repository, tag)
            .with_network("host")
            .with_container_name(format!("shasta-{}-{}", self.run, name.replace(' ', "-")))
            .with_label(owner::RUN, &self.run)
            .with_label(owner::OWNER, Owner::own().label())
            .with_cmd(recipe.arguments);
        for (variable, value) in recipe.environment {
            request = request.with_env_var(variable, value);
        }
        let started = self.daemon.wait(stop, request.start())?;
        Ok(started.map_err(|error| self.daemon.answer_within(&format!("start {name}"), &error))?)
    }

    /// The process of a container, if it is one that this process sees under the same id.
    fn process(&self, id: &str) -> Result<Option<(u32, u64)>, ClusterError> {
        let state = self.daemon.ask("look at a container", self.daemon.docker.inspect_container(id, None))?.state;
        let pid = state.and_then(|state| state.pid).and_then(|pid| u32::try_from(pid).ok());
        let is_it =
            |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(id));
        Ok(pid.filter(is_it).and_then(|pid| Some((pid, start_time_ticks(pid)?))))
    }

    pub(super) fn wait_ready(&mut self, starting: Starting<'_>, ready_max: Duration) -> Result<(), ClusterError> {
        let Starting { brokers, stop, progress, .. } = starting;
        let start = Instant::now();
        let mut admin = None;
        loop {
            if stop() {
                return Err(ClusterError::Interrupted);
            }
            self.check()?;
            let waiting_for = not_ready(&self.held.nodes, &self.endpoints.kafka, &mut self.redis, &mut admin)?;
            let Some(waiting_for) = waiting_for else { break };
            if start.elapsed() > ready_max {
                return Err(self.unready(waiting_for, ready_max));
            }
            std::thread::sleep(POLL);
        }
        let seconds = start.elapsed().as_secs_f64();
        progress(&format!("{brokers} brokers and Redis are ready after {seconds:.1} s"));
        if let Some(admin) = admin {
            effective_config::tell(&admin, &self.variant.broker, progress);
        }
        Ok(())
    }

    /// As broker 1 said once it had started.
    fn kafka_version(&self) -> Option<String> {
        const STARTING_BYTES: usize = 1 << 18;
        let first = self.containers.iter().find(|running| running.name == "broker 1")?;
        kafka_version(&self.daemon.first_said(first.container.id(), STARTING_BYTES))
    }

    fn unready(&self, waiting_for: String, ready_max: Duration) -> ClusterError {
        // Of the one that is waited for: four times as many lines hide more than they show.
        let blamed = |running: &&Running| waiting_for.to_lowercase().starts_with(&running.name);
        let blamed = self.containers.iter().find(blamed).or(self.containers.last());
        let tail = |running: &Running| {
            format!("{}:\n{}", running.name, self.daemon.last_lines(running.container.id(), LOG_LINES))
        };
        ContainersError::NotReady {
            kafka: self.images.kafka.name.clone(),
            redis: self.images.redis.name.clone(),
            seconds: ready_max.as_secs(),
            lines: blamed.map(tail).unwrap_or_default(),
            waiting_for,
        }
        .into()
    }

    /// Removes all containers of this cluster, also what a start that failed half-way has left.
    pub(super) fn remove(&mut self) {
        for running in std::mem::take(&mut self.containers) {
            // By its labels, below; its own drop would remove it as well, but only within a runtime.
            std::mem::forget(running.container);
        }
        if self.run.is_empty() {
            return;
        }
        let label = format!("{}={}", owner::RUN, self.run);
        if let Err(error) = self.daemon.remove(&label, |_, _| true) {
            tracing::warn!("containers are left ({error}); remove them: docker rm -fv $(docker ps -aqf label={label})");
        }
    }
}

/// `4.1.1` of `… Kafka version: 4.1.1 (org.apache.kafka.common.utils.AppInfoParser)`.
fn kafka_version(log: &str) -> Option<String> {
    let (_, rest) = log.split_once("Kafka version: ")?;
    Some(rest.split_whitespace().next()?.to_owned())
}

impl Cluster for ContainerCluster {
    fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    fn substrate(&self) -> &'static str {
        "containers"
    }

    fn processes(&self) -> Vec<(String, u32)> {
        self.containers.iter().filter_map(|running| Some((running.name.clone(), running.process?.0))).collect()
    }

    fn ended(&mut self) -> Result<Vec<String>, ClusterError> {
        self.told_ended()
    }

    fn settings(&self) -> Value {
        let Images { kafka, redis } = &self.images;
        let kafka_version = self.kafka_version();
        json!({
            "images": { "kafka": kafka.json(), "redis": redis.json() },
            "stand_ins": kafka.stand_in || redis.stand_in,
            "network": "host",
            "docker": { "version": self.daemon.version, "storage_driver": self.daemon.storage },
            "kafka_version": kafka_version,
            "kafka_version_of_variant": self.variant.kafka_version,
            "kafka_version_differs": kafka_version.as_ref() != Some(&self.variant.kafka_version),
            "jvm_flags": broker::jvm_flags(&self.variant),
            "brokers": effective_config::described(&self.endpoints.kafka, &self.variant.broker),
            "redis": redis_server::described(&self.endpoints.redis_url),
        })
    }

    fn failover_redis(&mut self) -> Result<String, ClusterError> {
        let problem = "it has no replica: a Redis in containers is a single one".to_owned();
        Err(ClusterError::Redis { address: self.endpoints.redis_shown(), problem })
    }

    fn keep(&mut self) -> Result<String, ClusterError> {
        let mut names = Vec::new();
        for running in &self.containers {
            let name = format!("{}{}-{}", owner::KEPT, self.run, running.name.replace(' ', "-"));
            let options = RenameContainerOptionsBuilder::new().name(&name).build();
            let renamed = self.daemon.docker.rename_container(running.container.id(), options);
            self.daemon.ask("rename a container", renamed)?;
            names.push(name);
        }
        for running in std::mem::take(&mut self.containers) {
            std::mem::forget(running.container);
        }
        self.run.clear();
        Ok(format!("docker rm --force --volumes {}", names.join(" ")))
    }
}

impl Drop for ContainerCluster {
    fn drop(&mut self) {
        // In a thread of its own: within somebody's runtime, ours could not wait.
        std::thread::scope(|scope| {
            let removing = std::thread::Builder::new().spawn_scoped(scope, || self.remove());
            if let Err(error) = removing {
                tracing::warn!("containers are left until the next start, since no thread could be started: {error}");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_log() {
        let log = "[t] INFO Kafka version: 4.1.1 (org.apache.kafka.common.utils.AppInfoParser)\n[t] more";
        assert_eq!(kafka_version(log).as_deref(), Some("4.1.1"));
        assert_eq!(kafka_version("Redpanda v25"), None);
    }
}
