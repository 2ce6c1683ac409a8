//! What is refused, and that the reason is said.

use std::io::ErrorKind;
use std::time::Duration;

use pool::{Executor as _, JobError, JobOptions};
use pool_nats::{Queue, RemotePool};

use crate::roles::{Manner, agent_like};
use crate::server::{Server, is_there, server};
use crate::support::{client, end_of, queued};
use crate::work;

crate::tests![
    without_an_agent_a_deadline_says_that_there_is_none,
    without_the_server_a_deadline_is_kept_all_the_same,
    arguments_larger_than_the_server_takes_are_refused,
    an_agent_with_another_function_of_that_name_refuses,
    a_function_without_a_name_is_refused_here,
    a_wrong_password_is_refused_and_not_shown,
    a_token_opens_the_door,
    a_server_without_jetstream_is_refused,
    a_name_that_is_none_and_a_server_that_is_not_there_are_refused,
];

fn without_an_agent_a_deadline_says_that_there_is_none() {
    let Some(server) = server("without_an_agent_a_deadline_says_so") else { return };
    let pool = client(&server);
    let options = JobOptions::new().deadline(Duration::from_millis(300));
    let error = end_of(pool.submit_with(options, work::square, (3,))).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, JobError::TimedOut(late) if !late.started));
    assert!(text.contains("was not started within 300ms of its submission"), "{text}");
    assert!(text.ends_with("; no agent of the pool tests has been heard of"), "{text}");
    drop(pool);
    assert_eq!(queued(&server), 0);
}

fn without_the_server_a_deadline_is_kept_all_the_same() {
    let Some(mut server) = server("without_the_server_a_deadline_is_kept") else { return };
    let pool = client(&server);
    server.kill();
    let options = JobOptions::new().deadline(Duration::from_millis(1500));
    let error = end_of(pool.submit_with(options, work::square, (3,))).unwrap_err();
    assert!(error.to_string().ends_with("; the server cannot be reached"), "{error}");
}

fn arguments_larger_than_the_server_takes_are_refused() {
    let Some(server) = server("arguments_larger_than_the_server_takes") else { return };
    let _agent = agent_like(&server, Manner::default());
    let pool = client(&server);
    let error = end_of(pool.submit(work::length, (vec![0; 2 << 20],))).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, JobError::Encode(_)), "{text}");
    assert!(text.contains("the server takes 1048576 in one message (max_payload"), "{text}");
    assert_eq!(end_of(pool.submit(work::length, (vec![0; 1_000_000],))), Ok(1_000_000));
    // A map cuts its chunks to what fits.
    let pages = (0..40).map(|_| vec![7u8; 50_000]);
    assert!(pool.map(work::length, pages).all(|length| length == Ok(50_000)));
}

fn an_agent_with_another_function_of_that_name_refuses() {
    let Some(server) = server("an_agent_with_another_function_refuses") else { return };
    let _agent = agent_like(&server, Manner { functions: "other", ..Manner::default() });
    let pool = client(&server);
    let text = |error: JobError| match error {
        JobError::Refused(refused) => refused.reason,
        other => panic!("not refused: {other}"),
    };
    let error = text(end_of(pool.submit(work::square, (3,))).unwrap_err());
    assert!(error.contains("its function square takes or returns something else"), "{error}");
    let error = text(end_of(pool.submit(work::sleep, (1,))).unwrap_err());
    assert!(error.contains("it has no function named sleep, only: quarter, square"), "{error}");
    assert_eq!(end_of(pool.submit(work::quarter, (8,))), Ok(2));
}

fn a_function_without_a_name_is_refused_here() {
    let Some(server) = server("a_function_without_a_name_is_refused_here") else { return };
    let pool = client(&server);
    let error = end_of(pool.submit(|n: u64| n, (3,))).unwrap_err();
    assert!(matches!(error, JobError::Encode(_)), "{error}");
    assert!(error.to_string().contains("not among the functions"), "{error}");
}

fn a_wrong_password_is_refused_and_not_shown() {
    let flags = ["-js", "--user", "me", "--pass", "secret"];
    let Some(server) = Server::start("a_wrong_password_is_refused", &flags) else { return };
    let address = |login: &str| server.url().replace("//", &format!("//{login}@"));
    let connect = |url: String| RemotePool::connect(Queue::new(url, "tests"), work::functions());
    let error = connect(address("me:sacred")).unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{text}");
    assert!(text.contains("authorization") && !text.contains("sacred"), "{text}");
    assert!(connect(address("me:secret")).is_ok());
}

fn a_token_opens_the_door() {
    let Some(server) = Server::start("a_token_opens_the_door", &["-js", "--auth", "sesame"]) else {
        return;
    };
    let connect = |url: &str| RemotePool::connect(Queue::new(url, "tests"), work::functions());
    assert!(connect(&server.url()).is_err());
    assert!(connect(&server.url().replace("//", "//sesame@")).is_ok());
    // Or with the client's own options.
    let options = pool_nats::async_nats::ConnectOptions::with_token("sesame".to_owned());
    let queue = Queue::new(server.url(), "tests").options(options);
    assert!(RemotePool::connect(queue, work::functions()).is_ok());
}

fn a_server_without_jetstream_is_refused() {
    let Some(server) = Server::start("a_server_without_jetstream_is_refused", &[]) else { return };
    let error = RemotePool::connect(server.queue(), work::functions()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("start it as `nats-server -js -sd DIR`"), "{error}");
}

fn a_name_that_is_none_and_a_server_that_is_not_there_are_refused() {
    if !is_there("a_name_that_is_none") {
        return;
    }
    let connect = |url: &str, name: &str| {
        RemotePool::connect(Queue::new(url, name), work::functions()).unwrap_err()
    };
    let error = connect("nats://127.0.0.1:1", "no.name");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    let error = connect("nats://127.0.0.1:1", "tests");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
    let error = connect("http://127.0.0.1:1", "tests");
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
}
