//! The CPU time that control groups grant, in both versions.
//!
//! A quota does not show in the affinity mask: a process sees 64 CPUs and is stopped for the rest
//! of each period once it has used what it is granted. Source: Documentation/admin-guide/cgroup-v2
//! (`cpu.max`), Documentation/scheduler/sched-bwc (`cpu.cfs_quota_us`), proc(5) for mountinfo.

use super::files::Files;

/// A grant of CPU time, and the file that says so.
#[derive(PartialEq, Clone, Debug)]
#[non_exhaustive]
pub struct Quota {
    /// How many CPUs' time; 1.5 is one and a half.
    pub cpus: f64,
    /// The file.
    pub file: String,
}

/// The tightest quota from our group up to the top of what is mounted.
pub(super) fn tightest(files: &Files<'_>) -> Option<Quota> {
    let groups = files.read("/proc/self/cgroup")?;
    let mounts = files.read("/proc/self/mountinfo")?;
    let mut quotas = Vec::new();
    for (folder, top, version) in folders(&groups, &mounts) {
        for folder in up(&folder, &top) {
            quotas.extend(match version {
                Version::One => quota_v1(files, &folder),
                Version::Two => quota_v2(files, &folder),
            });
        }
    }
    quotas.into_iter().min_by(|a, b| a.cpus.total_cmp(&b.cpus))
}

#[derive(PartialEq, Eq, Clone, Copy, Debug)]
enum Version {
    One,
    Two,
}

/// The folders of our groups that may hold a CPU quota, each with the top of its mount.
fn folders(groups: &str, mounts: &str) -> Vec<(String, String, Version)> {
    let mut found = Vec::new();
    for group in groups.lines() {
        let parts: Vec<_> = group.splitn(3, ':').collect();
        let [number, controllers, path] = parts.as_slice() else { continue };
        let version = match (*number, controllers.split(',').any(|name| name == "cpu")) {
            ("0", _) => Version::Two,
            (_, true) => Version::One,
            _ => continue,
        };
        for (root, top) in mounts.lines().filter_map(|line| mount(line, version)) {
            // The mount shows the hierarchy from `root` down; outside it we are not shown at all.
            let within = path.strip_prefix(root.trim_end_matches('/')).unwrap_or_default();
            let folder = format!("{top}{}", within.trim_end_matches('/'));
            found.push((folder, top, version));
        }
    }
    found
}

/// The root and the mount point of a line that mounts the hierarchy we look for.
fn mount(line: &str, version: Version) -> Option<(String, String)> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<_> = left.split(' ').collect();
    let right: Vec<_> = right.split(' ').collect();
    let fits = match (version, right.first()?) {
        (Version::Two, kind) => *kind == "cgroup2",
        (Version::One, kind) => {
            *kind == "cgroup" && right.last()?.split(',').any(|option| option == "cpu")
        }
    };
    fits.then_some((left.get(3)?.to_string(), left.get(4)?.to_string()))
}

/// A folder and those above it, `top` last.
fn up(folder: &str, top: &str) -> Vec<String> {
    let mut folders = vec![folder.to_owned()];
    let mut folder = folder;
    while folder.len() > top.len() {
        let Some((above, _)) = folder.rsplit_once('/') else { break };
        folders.push(above.to_owned());
        folder = above;
    }
    folders
}

/// "max 100000" grants everything, "150000 100000" one CPU and a half.
fn quota_v2(files: &Files<'_>, folder: &str) -> Option<Quota> {
    let file = format!("{folder}/cpu.max");
    let text = files.read(&file)?;
    let (quota, period) = text.split_once(' ')?;
    cpus(quota, period).map(|cpus| Quota { cpus, file })
}

/// -1 grants everything.
fn quota_v1(files: &Files<'_>, folder: &str) -> Option<Quota> {
    let file = format!("{folder}/cpu.cfs_quota_us");
    let period = files.read(&format!("{folder}/cpu.cfs_period_us"))?;
    cpus(&files.read(&file)?, &period).map(|cpus| Quota { cpus, file })
}

fn cpus(quota: &str, period: &str) -> Option<f64> {
    let (quota, period) = (quota.parse::<u64>().ok()?, period.parse::<u64>().ok()?);
    (period > 0 && quota > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;

    const V2_MOUNT: &str = "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
    const V1_MOUNT: &str =
        "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct";

    fn quota(files: &[(&str, &str)]) -> Option<(f64, String)> {
        let dir = tree(files);
        tightest(&Files(dir.path())).map(|quota| (quota.cpus, quota.file))
    }

    #[test]
    fn version_2_takes_the_tightest_on_the_way_up() {
        let files = [
            ("/proc/self/cgroup", "0::/kube.slice/pod/box"),
            ("/proc/self/mountinfo", V2_MOUNT),
            ("/sys/fs/cgroup/kube.slice/pod/box/cpu.max", "400000 100000\n"),
            ("/sys/fs/cgroup/kube.slice/pod/cpu.max", "150000 100000\n"),
            ("/sys/fs/cgroup/kube.slice/cpu.max", "max 100000\n"),
        ];
        let file = "/sys/fs/cgroup/kube.slice/pod/cpu.max".to_owned();
        assert_eq!(quota(&files), Some((1.5, file)));
    }

    #[test]
    fn version_2_in_a_namespace_is_the_mount_itself() {
        let files = [
            ("/proc/self/cgroup", "0::/"),
            ("/proc/self/mountinfo", V2_MOUNT),
            ("/sys/fs/cgroup/cpu.max", "50000 100000"),
        ];
        assert_eq!(quota(&files), Some((0.5, "/sys/fs/cgroup/cpu.max".to_owned())));
    }

    #[test]
    fn version_1_reads_quota_and_period() {
        let folder = "/sys/fs/cgroup/cpu,cpuacct/docker/abc";
        let (q, p) = (format!("{folder}/cpu.cfs_quota_us"), format!("{folder}/cpu.cfs_period_us"));
        let with = |value| {
            quota(&[
                ("/proc/self/cgroup", "9:memory:/x\n1:cpu,cpuacct:/docker/abc\n0::/"),
                ("/proc/self/mountinfo", V1_MOUNT),
                (&q, value),
                (&p, "100000"),
            ])
        };
        assert_eq!(with("200000\n"), Some((2.0, q.clone())));
        assert_eq!(with("-1\n"), None);
    }

    #[test]
    fn version_1_in_a_container_is_mounted_from_its_own_group() {
        let mount = "5 4 0:29 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu";
        let files = [
            ("/proc/self/cgroup", "1:cpu:/docker/abc"),
            ("/proc/self/mountinfo", mount),
            ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000"),
            ("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"),
        ];
        assert_eq!(quota(&files).map(|(cpus, _)| cpus), Some(3.0));
    }
}
