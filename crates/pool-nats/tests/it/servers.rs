//! Several `nats-server`s that are one JetStream cluster.

use std::time::Duration;

use pool_nats::async_nats::jetstream::consumer::pull;
use pool_nats::async_nats::{self, jetstream};

use crate::server::{Server, free_port, is_there};
use crate::support::eventually;

pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
}

impl Cluster {
    /// `None` where there is no server to be had, which is said.
    pub(crate) fn start(test: &str, count: usize) -> Option<Cluster> {
        Self::start_with(test, &vec![&[][..]; count])
    }

    /// A server for each, with more flags of its own.
    pub(crate) fn start_with(test: &str, flags: &[&[&str]]) -> Option<Cluster> {
        if !is_there(test) {
            return None;
        }
        let places: Vec<String> =
            flags.iter().map(|_| format!("nats://127.0.0.1:{}", free_port())).collect();
        let routes = places.join(",");
        let one = |(n, more): (usize, &&[&str])| {
            let name = format!("n{n}");
            let mut flags = vec!["-js", "-n", &name, "--cluster_name", "tests"];
            flags.extend(["--cluster", &places[n], "--routes", &routes]);
            flags.extend(*more);
            Server::start(test, &flags)
        };
        let cluster =
            Cluster { servers: flags.iter().enumerate().map(one).collect::<Option<_>>()? };
        let leads =
            |server: &Server| server.log().contains("Self is new JetStream cluster metadata");
        eventually("the cluster has a leader", || cluster.servers.iter().any(leads));
        Some(cluster)
    }

    /// The addresses of all.
    pub(crate) fn url(&self) -> String {
        self.servers.iter().map(Server::url).collect::<Vec<_>>().join(",")
    }

    /// Sees to it that one server leads the stream `POOL_tests`, and hands out what is in it; says
    /// which.
    pub(crate) fn leader_of_all(&self) -> usize {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let servers: Vec<String> = self.servers.iter().map(Server::url).collect();
        let client = runtime.block_on(async_nats::connect(servers)).unwrap();
        let mut leader = None;
        eventually("one server leads all", || {
            leader = runtime.block_on(leader_of_all(&client));
            leader.is_some()
        });
        leader.and_then(|name| name.strip_prefix('n')?.parse().ok()).unwrap()
    }
}

async fn leader_of_all(client: &async_nats::Client) -> Option<String> {
    let stream = jetstream::new(client.clone()).get_stream("POOL_tests").await.ok()?;
    let consumer = stream.get_consumer::<pull::Config>("agents").await.ok()?;
    let leads_stream = stream.cached_info().cluster.as_ref()?.leader.clone()?;
    let hands_out = consumer.cached_info().cluster.as_ref()?.leader.clone()?;
    if leads_stream == hands_out {
        return Some(leads_stream);
    }
    // Chance decides who is next.
    let other = "$JS.API.CONSUMER.LEADER.STEPDOWN.POOL_tests.agents";
    let _ = client.request(other, "".into()).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    None
}
