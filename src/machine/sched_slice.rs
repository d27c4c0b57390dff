//! How long a core stays with a task before one that has just become ready may have it: a task's slice, which Linux lets
//! each task ask for from 6.12 on. All that a thread starts asks for what the thread did.
//!
//! The only module with code that the compiler does not check: no library that we know has this system call.
#![allow(unsafe_code)]

use std::{io, time::Duration};

use shasta_model::manifest::machine::Slices;

/// Keeps the slice of this thread, and of all that it starts meanwhile, at a length.
#[derive(Debug)]
pub struct SchedSlice {
    slices: Slices,
}

impl SchedSlice {
    /// Begins, with the kernel's own length where `length` is none at all.
    pub fn hold(length: Duration) -> Self {
        if length.is_zero() {
            return Self { slices: Slices::Kernels };
        }
        let slices = match ask(length).and_then(|()| granted()) {
            Ok(granted) if granted == length => Slices::Ours,
            Ok(_) => Slices::Refused("a task's own slice takes Linux 6.12".to_owned()),
            Err(error) => Slices::Refused(format!("sched_setattr: {error}")),
        };
        Self { slices }
    }

    /// What came of it.
    pub fn slices(&self) -> Slices {
        self.slices.clone()
    }
}

impl Drop for SchedSlice {
    fn drop(&mut self) {
        if self.slices == Slices::Ours {
            // What it allowed once it allows again; and if not, the next run asks anew.
            let _ = ask(Duration::ZERO);
        }
    }
}

/// Asks for a slice of this thread; of no length for the kernel's own.
fn ask(length: Duration) -> io::Result<()> {
    let mut attributes = attributes()?;
    attributes.sched_runtime = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    // SAFETY: the kernel reads as many bytes as `size` says, which it wrote itself into a structure of that size.
    let done = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The slice of this thread; none at all before Linux 6.12.
fn granted() -> io::Result<Duration> {
    attributes().map(|attributes| Duration::from_nanos(attributes.sched_runtime))
}

fn attributes() -> io::Result<libc::sched_attr> {
    let mut attributes = libc::sched_attr {
        size: 0,
        sched_policy: 0,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: 0,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel writes no more bytes than it is told the structure has.
    let done =
        unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut attributes, size_of::<libc::sched_attr>(), 0) };
    if done == 0 { Ok(attributes) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_millis(7);

    /// What a thread that this one starts has.
    fn of_a_child() -> Duration {
        std::thread::spawn(granted).join().unwrap().unwrap()
    }

    #[test]
    fn a_thread_and_all_that_it_starts_have_the_slice_as_long_as_it_is_held() {
        let before = granted().unwrap();
        let held = SchedSlice::hold(LENGTH);
        match held.slices() {
            Slices::Ours => assert_eq!((granted().unwrap(), of_a_child()), (LENGTH, LENGTH)),
            Slices::Refused(why) => {
                assert!(before.is_zero(), "a kernel that tells slices grants them: {why}");
                assert_eq!(of_a_child(), before);
            }
            Slices::Kernels => panic!("a slice was asked for"),
        }
        drop(held);
        assert_eq!((granted().unwrap(), of_a_child()), (before, before));
        assert_eq!(SchedSlice::hold(Duration::ZERO).slices(), Slices::Kernels);
    }
}
