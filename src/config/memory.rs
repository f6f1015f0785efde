//! How much memory this process may use: what the machine has, or less if its control group has a limit, as a container has.

use std::fs;
use std::path::Path;

/// The part of the memory that is for requests and answers. The rest is for connections at rest, the evidence, the history and what the
/// allocator cannot use.
const PART: usize = 3;
/// Used if the system says nothing.
const UNKNOWN: usize = 512 << 20;
/// The least share, for a machine with very little memory.
const LEAST: usize = 32 << 20;

/// The default of `max_memory`.
pub fn share() -> usize {
    let limits = [of_machine(), of_groups(Path::new("/sys/fs/cgroup"), &fs::read_to_string("/proc/self/cgroup").unwrap_or_default())];
    (limits.into_iter().flatten().min().unwrap_or(UNKNOWN) / PART).max(LEAST)
}

fn of_machine() -> Option<usize> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.parse::<usize>().ok()?.checked_mul(1024)
}

/// The lowest limit of the process's control group and of those above it, in version 2 or version 1. `groups` is the text of
/// /proc/self/cgroup.
fn of_groups(root: &Path, groups: &str) -> Option<usize> {
    let lines = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            "" => Some((root.to_owned(), "memory.max", path)),
            _ if controllers.split(',').any(|name| name == "memory") => Some((root.join("memory"), "memory.limit_in_bytes", path)),
            _ => None,
        }
    });
    let limits = lines.flat_map(|(root, file, path)| {
        let own = root.join(path.trim_start_matches('/'));
        // In a container the root is the container's own group, and the path may not exist in it.
        let all: Vec<_> = own.ancestors().take_while(|folder| folder.starts_with(&root)).map(|folder| folder.join(file)).collect();
        all.into_iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<usize>().ok())
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_limit_of_the_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("memory.max", "max\n");
        write("system.slice/memory.max", "1000000\n");
        write("system.slice/serin.service/memory.max", "2000000\n");
        write("memory/docker/memory.limit_in_bytes", "3000000\n");
        let limit = |groups: &str| of_groups(root.path(), groups);
        assert_eq!(limit("0::/system.slice/serin.service\n"), Some(1_000_000));
        assert_eq!(limit("0::/\n"), None);
        assert_eq!(limit("0::/gone/child\n"), None);
        assert_eq!(limit("4:cpu,memory:/docker\n3:cpu:/x\n"), Some(3_000_000));
        write("memory.max", "500000\n");
        assert_eq!(limit("0::/gone/child\n"), Some(500_000), "a container sees its own group as the root");
    }

    #[test]
    fn this_machine_has_some() {
        assert!(of_machine().is_some_and(|bytes| bytes > 64 << 20));
        assert!(share() >= LEAST);
    }
}
