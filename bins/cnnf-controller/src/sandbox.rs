//! What the running controller takes away from itself, besides what its unit does.

use std::path::Path;

use crate::confine;

/// What it reads besides: the library that finds the number of processors looks there.
const READABLE: &str = "/sys/fs/cgroup";
/// What it writes besides its data directory: SQLite puts large intermediate results there.
const WRITABLE: [&str; 2] = ["/tmp", "/var/tmp"];

/// Confines this thread and all that are begun from now on: it writes only below the data directory and where temporary files are, and runs no
/// program. Answers with what the kernel cannot do; the controller goes on.
pub(crate) fn enter(data_dir: &Path, packages: &Path, configuration: Option<&Path>) -> Vec<String> {
    let mut open = Vec::new();
    let writable = [data_dir, Path::new(WRITABLE[0]), Path::new(WRITABLE[1])];
    let readable: Vec<&Path> = [Path::new(READABLE), packages].into_iter().chain(configuration).collect();
    if let Err(error) = confine::confine(&readable, &writable) {
        open.push(format!("more files stay in reach than are needed: {error}"));
    }
    if let Err(error) = confine::filter(&[]) {
        open.push(format!("every system call is open to this process: {error}"));
    }
    open
}
