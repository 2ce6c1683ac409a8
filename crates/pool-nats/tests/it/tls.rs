//! Servers that speak TLS: who is trusted and who is not, and that the reason is said.

use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use pool::{Executor as _, JobOptions};
use pool_nats::async_nats::ConnectOptions;
use pool_nats::{Queue, RemotePool};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use tempfile::TempDir;

use crate::roles::{Manner, Part, agent_at};
use crate::server::Server;
use crate::servers::Cluster;
use crate::support::{end_of, workers};
use crate::work;

crate::tests![
    jobs_pass_through_tls,
    the_systems_certificates_can_be_others,
    a_server_that_nobody_here_trusts_is_refused_with_the_way_out,
    a_server_of_another_name_is_refused_with_the_way_out,
    a_server_with_the_certificate_of_an_authority_is_refused_with_the_way_out,
    a_server_without_tls_is_refused_where_tls_is_asked_for,
    servers_without_tls_are_not_spoken_to_when_the_first_one_is_lost,
    a_server_that_asks_for_certificates_takes_those_who_have_one,
];

/// For an agent of these tests: the folder with the certificates it is to use.
const FOLDER: &str = "POOL_NATS_TESTS_TLS";

/// An authority, and what it has issued, as files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority of a test");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::Builder::new().prefix("pool-nats-tls-").tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Authority { issuer, folder }
    }

    /// Writes `name.pem` and `name.key`.
    fn issue(&self, name: &str, hosts: &[&str]) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// A server with a certificate for these hosts.
    fn server(&self, test: &str, hosts: &[&str], more: &[&str]) -> Option<Server> {
        self.issue("server", hosts);
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        let mut flags = vec!["-js", "--tls", "--tlscert", &certificate, "--tlskey", &key];
        flags.extend(more);
        Server::start(test, &flags)
    }

    /// An agent that has the authority's certificate, and perhaps one of its own.
    fn agent(&self, server: &Server) -> Part {
        let folder = self.folder.path().display();
        let within = ["env".to_owned(), format!("{FOLDER}={folder}")];
        agent_at(&within, &over_tls(server), Manner::default())
    }
}

fn over_tls(server: &Server) -> String {
    server.url().replace("nats://", "tls://")
}

/// What a client or an agent has to say for itself, of what is in the folder.
fn options(folder: &Path) -> ConnectOptions {
    let options = ConnectOptions::new().add_root_certificates(folder.join("ca.pem"));
    let (own, key) = (folder.join("client.pem"), folder.join("client.key"));
    if own.exists() { options.add_client_certificate(own, key) } else { options }
}

/// The queue of an agent, with the certificates it was told of.
pub(crate) fn as_told(queue: Queue) -> Queue {
    match std::env::var_os(FOLDER) {
        Some(folder) => queue.options(options(&PathBuf::from(folder))),
        None => queue,
    }
}

fn connect(url: String, options: ConnectOptions) -> Result<RemotePool, Error> {
    RemotePool::connect(Queue::new(url, "tests").options(options), work::functions())
}

#[track_caller]
fn refused(url: String, options: ConnectOptions) -> String {
    let error = connect(url, options).expect_err("it has connected");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    error.to_string()
}

fn square_some(pool: &RemotePool) {
    workers(pool, 1);
    assert_eq!(end_of(pool.submit(work::square, (12,))), Ok(144));
    assert!((0..200).zip(pool.map(work::square, 0..200)).all(|(n, square)| square == Ok(n * n)));
}

fn jobs_pass_through_tls() {
    let authority = Authority::new();
    let hosts = ["127.0.0.1", "localhost"];
    let Some(server) = authority.server("jobs_pass_through_tls", &hosts, &[]) else { return };
    let _agent = authority.agent(&server);
    let options = options(authority.folder.path());
    square_some(&connect(over_tls(&server), options.clone()).unwrap());
    // By another of its names; and asked for by the server alone.
    let named = over_tls(&server).replace("127.0.0.1", "localhost");
    square_some(&connect(named, options.clone()).unwrap());
    square_some(&connect(server.url(), options).unwrap());
}

fn the_systems_certificates_can_be_others() {
    let authority = Authority::new();
    let test = "the_systems_certificates_can_be_others";
    let Some(server) = authority.server(test, &["127.0.0.1"], &[]) else { return };
    // Nothing is said in the program: as the README has it.
    let within = ["env".to_owned(), format!("SSL_CERT_FILE={}", authority.path("ca.pem"))];
    let _agent = agent_at(&within, &over_tls(&server), Manner::default());
    square_some(&connect(over_tls(&server), options(authority.folder.path())).unwrap());
}

fn a_server_that_nobody_here_trusts_is_refused_with_the_way_out() {
    let (authority, other) = (Authority::new(), Authority::new());
    let test = "a_server_that_nobody_here_trusts_is_refused";
    let Some(server) = authority.server(test, &["127.0.0.1"], &[]) else { return };
    for options in [ConnectOptions::new(), options(other.folder.path())] {
        let text = refused(over_tls(&server), options);
        assert!(text.contains("invalid peer certificate: "), "{text}");
        assert!(text.contains("add_root_certificates"), "{text}");
    }
    // What is not there is named.
    let text = refused(over_tls(&server), options(Path::new("/nowhere")));
    assert!(text.contains("No such file"), "{text}");
}

fn a_server_of_another_name_is_refused_with_the_way_out() {
    let authority = Authority::new();
    let test = "a_server_of_another_name_is_refused";
    let Some(server) = authority.server(test, &["queue.example.org"], &[]) else { return };
    let text = refused(over_tls(&server), options(authority.folder.path()));
    assert!(text.contains("queue.example.org"), "{text}");
    assert!(text.contains("its certificate is for other names"), "{text}");
}

fn a_server_with_the_certificate_of_an_authority_is_refused_with_the_way_out() {
    let test = "a_server_with_the_certificate_of_an_authority";
    let authority = Authority::new();
    // As whoever makes a certificate for the first time has it.
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.args(["-nodes", "-subj", "/CN=me", "-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.args(["-keyout", &authority.path("own.key"), "-out", &authority.path("ca.pem")]);
    match openssl.output() {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(error) => return println!("skipped: {test}: it needs openssl: {error}"),
    }
    let (certificate, key) = (authority.path("ca.pem"), authority.path("own.key"));
    let flags = ["-js", "--tls", "--tlscert", &certificate, "--tlskey", &key];
    let Some(server) = Server::start(test, &flags) else { return };
    let text = refused(over_tls(&server), options(authority.folder.path()));
    assert!(text.contains("is that of an authority (CA:TRUE)"), "{text}");
}

fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let Some(server) = Server::start("a_server_without_tls_is_refused", &["-js"]) else { return };
    let text = refused(over_tls(&server), ConnectOptions::new());
    assert!(text.contains("without TLS"), "{text}");
}

fn servers_without_tls_are_not_spoken_to_when_the_first_one_is_lost() {
    let authority = Authority::new();
    authority.issue("server", &["127.0.0.1"]);
    let (certificate, key) = (authority.path("server.pem"), authority.path("server.key"));
    let with_tls = ["--tls", "--tlscert", &certificate, "--tlskey", &key];
    let test = "servers_without_tls_are_not_spoken_to";
    let Some(mut cluster) = Cluster::start_with(test, &[&with_tls, &[]]) else { return };
    let options = options(authority.folder.path());
    let pool = connect(over_tls(&cluster.servers[0]), options).unwrap();
    cluster.servers[0].kill();
    let options = JobOptions::new().deadline(Duration::from_millis(1500));
    let error = end_of(pool.submit_with(options, work::square, (3,))).unwrap_err();
    assert!(error.to_string().ends_with("; the server cannot be reached"), "{error}");
}

fn a_server_that_asks_for_certificates_takes_those_who_have_one() {
    let authority = Authority::new();
    let ca = authority.path("ca.pem");
    let test = "a_server_that_asks_for_certificates";
    let flags = ["--tlsverify", "--tlscacert", &ca];
    let Some(server) = authority.server(test, &["127.0.0.1"], &flags) else { return };
    let text = refused(over_tls(&server), options(authority.folder.path()));
    assert!(text.contains("add_client_certificate"), "{text}");
    authority.issue("client", &["somebody"]);
    let _agent = authority.agent(&server);
    square_some(&connect(over_tls(&server), options(authority.folder.path())).unwrap());
}
