//! A whole cluster in Docker's containers: three combined KRaft nodes and one Redis of whichever images are wanted, on the
//! host's network, where a broker is as fast as a local process.
//!
//! Containers are no children of this process, so nothing ends them with it. They are removed when the value drops; every
//! one carries its cluster and its owner as labels, and each start removes those of owners that have died.

mod daemon;
mod error;
mod image;
mod owner;
mod recipe;
#[cfg(test)]
mod tests;

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use testcontainers::{
    ContainerAsync, GenericImage, ImageExt,
    bollard::{errors::Error as DockerError, query_parameters::RenameContainerOptionsBuilder},
    runners::AsyncRunner,
};

pub use self::error::ContainersError;
use self::{
    daemon::Daemon,
    image::{Images, parts},
    owner::Owner,
    recipe::Recipe,
};
use super::{
    Cluster, ClusterError, Endpoints, KAFKA_VERSION, KafkaAccess, applied,
    broker::{self, NODES},
    ended::hint,
    error::file_error,
    ports::Held,
    ready::not_ready,
    redis_server, storage,
};
use crate::{process::start_time_ticks, variant::Variant};

const STARTS_MAX: u32 = 3;
const READY_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// How often Docker is asked about a container whose process cannot be seen from here.
const LOOK: Duration = Duration::from_secs(1);
const LOG_LINES: usize = 20;

/// Whether this process has started containers that a sudden end would leave.
static STARTED: AtomicBool = AtomicBool::new(false);

/// A daemon that answers, and images that are there: all that can be wrong with Docker has been found by now.
pub struct Prepared {
    daemon: Daemon,
    images: Images,
}

/// Three brokers and a Redis in containers that this process started.
pub struct ContainerCluster {
    daemon: Daemon,
    images: Images,
    run: String,
    containers: Vec<Running>,
    endpoints: Endpoints,
    client_ports: [u16; NODES],
    variant: Variant,
    /// As broker 1 said at its start.
    kafka_version: Option<String>,
    looked: Instant,
}

struct Running {
    name: String,
    container: ContainerAsync<GenericImage>,
    /// Process id and start time, where the process is visible here.
    process: Option<(u32, u64)>,
    /// How it ended.
    ended: Option<String>,
}

/// Connects to Docker, finds or pulls the images, and removes what dead runs left.
///
/// # Errors
/// [`ContainersError`], or [`ClusterError::Interrupted`] during a pull.
pub fn prepare(variant: &Variant, stop: &dyn Fn() -> bool, progress: &dyn Fn(&str)) -> Result<Prepared, ClusterError> {
    broker::check_properties(&variant.broker)?;
    redis_server::check_settings(&variant.redis)?;
    let daemon = Daemon::connect()?;
    let removed = daemon.remove(owner::OWNER, |name, owner| owner.is_dead() && !name.starts_with(owner::KEPT))?;
    if removed > 0 {
        progress(&format!("removed {removed} containers that a killed run had left"));
    }
    let images = Images::of(&daemon, variant, stop, progress)?;
    Ok(Prepared { daemon, images })
}

/// Where the daemon keeps its containers' data.
///
/// # Errors
/// [`ContainersError`], when no daemon answers.
pub fn data_dir() -> Result<PathBuf, ClusterError> {
    Ok(Daemon::connect()?.root.into())
}

/// Removes all containers of this process: for a signal's handler that ends the process without its destructors.
pub fn remove_own() {
    if STARTED.load(Relaxed) {
        let own = Owner::own();
        let wanted = |name: &str, owner: &Owner| *owner == own && !name.starts_with(owner::KEPT);
        // Where that fails, the next start removes them.
        let _ = Daemon::connect().and_then(|daemon| daemon.remove(owner::OWNER, wanted));
    }
}

impl Prepared {
    /// Starts the containers, and waits until three brokers and Redis answer.
    ///
    /// # Errors
    /// When Docker refuses, a container ends, `stop` says so, or 60 s have passed; no container is left then.
    pub fn start(
        self,
        variant: &Variant,
        stop: &dyn Fn() -> bool,
        progress: &dyn Fn(&str),
    ) -> Result<ContainerCluster, ClusterError> {
        self.start_on(variant, stop, progress, READY_MAX, &Held::choose)
    }

    fn start_on(
        self,
        variant: &Variant,
        stop: &dyn Fn() -> bool,
        progress: &dyn Fn(&str),
        ready_max: Duration,
        choose: &dyn Fn() -> io::Result<Held>,
    ) -> Result<ContainerCluster, ClusterError> {
        let wanted = &variant.kafka_version;
        if wanted != KAFKA_VERSION {
            progress(&format!("the variant describes Kafka {wanted}; this cluster runs {}", self.images.kafka.name));
        }
        let mut cluster = ContainerCluster::new(self, variant);
        for attempt in 1.. {
            let held = choose().map_err(file_error("127.0.0.1".as_ref(), "bound to free ports"))?;
            let (kafka, redis) = (cluster.images.kafka.shown(), cluster.images.redis.shown());
            progress(&format!("starting {NODES} containers of {kafka} and one of {redis}"));
            match cluster.launch(held, stop).and_then(|()| cluster.wait_ready(stop, progress, ready_max)) {
                Err(ClusterError::PortTaken { name }) if attempt == STARTS_MAX => {
                    return Err(ClusterError::PortsTaken { attempts: attempt, name });
                }
                Err(taken @ ClusterError::PortTaken { .. }) => {
                    progress(&format!("{taken}; starting again on others"));
                    cluster.remove();
                }
                done => return done.map(|()| cluster),
            }
        }
        unreachable!("the last attempt returns")
    }
}

impl ContainerCluster {
    fn new(Prepared { daemon, images }: Prepared, variant: &Variant) -> Self {
        Self {
            daemon,
            images,
            run: String::new(),
            containers: Vec::new(),
            endpoints: Endpoints { kafka: KafkaAccess::plaintext(Vec::new()), redis_url: String::new() },
            client_ports: [0; NODES],
            variant: variant.clone(),
            kafka_version: None,
            looked: Instant::now(),
        }
    }

    fn launch(&mut self, held: Held, stop: &dyn Fn() -> bool) -> Result<(), ClusterError> {
        self.run = storage::new_cluster_id()?;
        self.client_ports = held.nodes.map(|ports| ports.client);
        self.endpoints = Endpoints {
            kafka: KafkaAccess::plaintext(self.client_ports.iter().map(|port| format!("127.0.0.1:{port}")).collect()),
            redis_url: format!("redis://127.0.0.1:{}", held.redis),
        };
        let brokers = (0..NODES).map(|i| {
            let recipe = recipe::broker(&self.images.kafka.name, i, &held, &self.run, &self.variant);
            (format!("broker {}", i + 1), self.images.kafka.name.clone(), recipe)
        });
        let redis = ("redis".to_owned(), self.images.redis.name.clone(), recipe::redis(held.redis, &self.variant));
        let wanted: Vec<_> = [redis].into_iter().chain(brokers).collect();
        drop(held);
        STARTED.store(true, Relaxed);
        for (name, image, recipe) in wanted {
            let started = self.create(&name, &image, recipe, stop)?;
            self.containers.push(started);
        }
        Ok(())
    }

    fn create(
        &self,
        name: &str,
        image: &str,
        recipe: Recipe,
        stop: &dyn Fn() -> bool,
    ) -> Result<Running, ClusterError> {
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
        let container = started.map_err(|error| self.daemon.answer_within(&format!("start {name}"), &error))?;
        let mut running = Running { name: name.to_owned(), container, process: None, ended: None };
        running.process = self.process(&running)?;
        Ok(running)
    }

    /// The process of a container, if it is one that this process sees under the same id.
    fn process(&self, running: &Running) -> Result<Option<(u32, u64)>, ClusterError> {
        let id = running.container.id();
        let state = self.daemon.ask("look at a container", self.daemon.docker.inspect_container(id, None))?.state;
        let pid = state.and_then(|state| state.pid).and_then(|pid| u32::try_from(pid).ok());
        let is_it =
            |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(id));
        Ok(pid.filter(is_it).and_then(|pid| Some((pid, start_time_ticks(pid)?))))
    }

    fn wait_ready(
        &mut self,
        stop: &dyn Fn() -> bool,
        progress: &dyn Fn(&str),
        ready_max: Duration,
    ) -> Result<(), ClusterError> {
        let start = Instant::now();
        let mut admin = None;
        loop {
            if stop() {
                return Err(ClusterError::Interrupted);
            }
            for i in 0..self.containers.len() {
                if let Some(ended) = self.fate(i)? {
                    return Err(ended);
                }
            }
            self.have_looked();
            let Some(waiting_for) = not_ready(&self.client_ports, &self.endpoints, &mut admin)? else { break };
            if start.elapsed() > ready_max {
                return Err(self.unready(waiting_for, ready_max));
            }
            std::thread::sleep(POLL);
        }
        let seconds = start.elapsed().as_secs_f64();
        progress(&format!("{NODES} brokers and Redis are ready after {seconds:.1} s"));
        let said = self.containers.iter().find(|running| running.name == "broker 1");
        self.kafka_version =
            said.and_then(|running| kafka_version(&self.daemon.first_said(running.container.id(), 1 << 18)));
        if let Some(admin) = admin {
            applied::tell(&admin, &self.variant.broker, progress);
        }
        Ok(())
    }

    fn have_looked(&mut self) {
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
        }
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

    /// How container `i` ended, if it did. A process that is visible here answers at once, others are asked of Docker.
    fn fate(&self, i: usize) -> Result<Option<ClusterError>, ClusterError> {
        let running = &self.containers[i];
        let alive = match running.process {
            Some((pid, ticks)) => start_time_ticks(pid) == Some(ticks),
            None => self.looked.elapsed() < LOOK,
        };
        if alive {
            return Ok(None);
        }
        let id = running.container.id();
        let asked = async {
            match self.daemon.docker.inspect_container(id, None).await {
                Err(DockerError::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
                other => other.map(Some),
            }
        };
        let name = running.name.clone();
        let Some(found) = self.daemon.ask("look at a container", asked)? else {
            let status = "somebody removed its container".to_owned();
            return Ok(Some(ClusterError::Exited { name, status, hint: "", lines: String::new() }));
        };
        let state = found.state.unwrap_or_default();
        if state.running == Some(true) {
            return Ok(None);
        }
        let status = format!(
            "exit code {}{}",
            state.exit_code.unwrap_or_default(),
            if state.oom_killed == Some(true) { ", killed for want of memory" } else { "" }
        );
        let log = self.daemon.last_lines(id, 1000);
        Ok(Some(ended(name, status, &log, &self.daemon.root)))
    }

    /// Removes all containers of this cluster, also what a start that failed half-way has left.
    fn remove(&mut self) {
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

/// The error for a container that ended, from what it has said.
fn ended(name: String, status: String, log: &str, root: &str) -> ClusterError {
    if log.contains("Address already in use") {
        return ClusterError::PortTaken { name };
    }
    if error::is_full(log) {
        return ContainersError::DiskFull { root: root.to_owned() }.into();
    }
    let lines: Vec<_> = log.lines().collect();
    let lines = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
    ClusterError::Exited { name, status, hint: hint(log), lines }
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
        for i in 0..self.containers.len() {
            if self.containers[i].ended.is_none()
                && let Some(why) = self.fate(i)?
            {
                let name = &self.containers[i].name;
                self.containers[i].ended = Some(match &why {
                    ClusterError::Exited { .. } => why.to_string(),
                    _ => format!("{name} ended by itself; {why}"),
                });
            }
        }
        self.have_looked();
        Ok(self.containers.iter().filter_map(|running| running.ended.clone()).collect())
    }

    fn settings(&self) -> Value {
        let Images { kafka, redis } = &self.images;
        json!({
            "images": { "kafka": kafka.json(), "redis": redis.json() },
            "stand_ins": kafka.stand_in || redis.stand_in,
            "network": "host",
            "docker": { "version": self.daemon.version, "storage_driver": self.daemon.storage },
            "kafka_version": self.kafka_version,
            "kafka_version_of_variant": self.variant.kafka_version,
            "kafka_version_differs": self.kafka_version.as_ref() != Some(&self.variant.kafka_version),
            "jvm_flags": broker::jvm_flags(&self.variant),
            "brokers": applied::described(&self.endpoints.kafka, &self.variant.broker),
            "redis": redis_server::described(&self.endpoints.redis_url),
        })
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
