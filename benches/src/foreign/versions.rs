//! Which version of a peer was built: what Cargo.lock says.

const LOCK: &str = include_str!("../../../Cargo.lock");

/// The version of a package; the newest, should there be several.
#[must_use]
pub fn of(name: &str) -> Option<&'static str> {
    let named = format!("name = \"{name}\"");
    let packages =
        LOCK.split("[[package]]").filter(|package| package.lines().any(|line| line == named));
    let version = |package: &'static str| {
        package.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'))
    };
    packages.filter_map(version).last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_peer_has_a_version() {
        for name in ["tokio", "monoio", "glommio", "compio", "rayon"] {
            let version = of(name).unwrap();
            assert!(version.split('.').count() == 3, "{name} {version}");
        }
        assert_eq!(of("no-such-package"), None);
    }
}
