//! What takes strace, mounts or minutes: runs that are killed at each of their system calls, disks that fail, and
//! programs that are killed at any moment.

#[cfg(unix)]
mod chaos;
#[cfg(target_os = "linux")]
mod mutants;
#[cfg(target_os = "linux")]
mod system_calls;
