//! The authorities of the system. The environment says where they are, so each test runs in a
//! process of its own.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Command;

use tls::TlsConnector;
use uring_loop::io::{ByteStreamExt as _, duplex};

use crate::support::{Authority, run, shaken, try_shake};

/// Runs `body` in this program again, where the authorities of the system are those in a file that
/// `body` is told of.
fn with_a_system(test: &str, body: impl FnOnce(PathBuf)) {
    const MARK: &str = "TLS_TEST_CHILD";
    if std::env::var_os(MARK).is_some_and(|name| name == test) {
        return body(std::env::var_os("SSL_CERT_FILE").expect("it was set").into());
    }
    let folder = tempfile::tempdir().expect("a place for temporary files");
    let output = Command::new(std::env::current_exe().expect("this program"))
        .args([test, "--exact", "--nocapture"])
        .env(MARK, test)
        .env("SSL_CERT_FILE", folder.path().join("roots.pem"))
        .env_remove("SSL_CERT_DIR")
        .output()
        .expect("this program runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{errors}");
}

#[test]
fn who_has_an_authority_of_the_system_is_trusted_and_nobody_else() {
    with_a_system(
        "native_roots::who_has_an_authority_of_the_system_is_trusted_and_nobody_else",
        |roots| {
            let (known, unknown) = (Authority::new(), Authority::new());
            std::fs::write(roots, known.pem()).expect("room");
            let client = TlsConnector::builder().native_roots().expect("there is one").build();
            let client = client.expect("it fits");
            run(async {
                let ends = (client.clone(), known.server().build().expect("it fits"));
                let (one, other) = shaken(&ends, duplex(10_000)).await;
                one.send("hello".into()).await.expect("open");
                assert_eq!(&*other.recv().await.expect("open"), b"hello");
                let server = unknown.server().build().expect("it fits");
                let shaken = try_shake(&client, &server, "localhost", duplex(10_000)).await;
                let error = shaken.0.expect_err("nobody vouches for it");
                assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
            });
        },
    );
}

#[test]
fn a_system_without_authorities_is_told_of_in_words() {
    with_a_system("native_roots::a_system_without_authorities_is_told_of_in_words", |_| {
        let error = TlsConnector::builder().native_roots().expect_err("there is no such file");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}");
    });
}
