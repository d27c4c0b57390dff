//! The machine that the benches ran on, as Linux describes it.

use std::fs;

use crate::cores;

/// What a figure in seconds depends on.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Machine {
    /// Model of its processor.
    pub cpu: String,
    /// Cores that may be used.
    pub cores: usize,
    /// Memory in MB.
    pub memory_mb: u64,
    /// Release of the kernel.
    pub kernel: String,
}

impl Machine {
    /// This one; what it does not tell is `unknown`.
    pub fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let unknown = || "unknown".to_owned();
        let memory = value(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let memory_kb: u64 = memory.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0);
        Self {
            cpu: value(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
            cores: cores::count(),
            memory_mb: memory_kb / 1_000,
            kernel: Some(read("/proc/sys/kernel/osrelease").trim().to_owned())
                .filter(|text| !text.is_empty())
                .unwrap_or_else(unknown),
        }
    }
}

/// `AMD EPYC, 2 cores, 24,000 MB, Linux 6.1`.
impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cpu, cores, memory_mb, kernel } = self;
        write!(f, "{cpu}, {cores} cores, {} MB, Linux {kernel}", crate::markdown::count(*memory_mb))
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_is_known() {
        let machine = super::Machine::this();
        assert!(machine.cores > 0 && machine.memory_mb > 0 && machine.kernel != "unknown", "{machine}");
    }
}
