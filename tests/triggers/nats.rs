//! A client of a NATS server of a test's own, which blocks: tests have no runtime.

use std::time::Duration;

use async_nats::{
    Client, HeaderMap, Message, Subscriber,
    jetstream::{self, Context, consumer::PullConsumer, stream},
};
use futures_util::StreamExt as _;
use tokio::runtime::Runtime;

use crate::{
    harness::{Daemon, Home, module},
    servers::Nats,
};

/// How long a message may take. Only a failure takes so long.
const SOON: Duration = Duration::from_secs(20);

/// A client.
pub(crate) struct Peer {
    runtime: Runtime,
    pub(crate) client: Client,
    pub(crate) streams: Context,
}

impl Peer {
    pub(crate) fn of(server: &Nats) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let url = server.url();
        let (client, streams) = runtime.block_on(async move {
            let client = async_nats::connect(url).await.unwrap();
            (client.clone(), jetstream::new(client))
        });
        Self { runtime, client, streams }
    }

    /// Waits for anything.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(async { tokio::time::timeout(SOON, work).await.expect("not in time") })
    }

    pub(crate) fn listen(&self, topic: &str) -> Subscriber {
        self.wait(async {
            let heard = self.client.subscribe(topic.to_owned()).await.unwrap();
            self.client.flush().await.unwrap();
            heard
        })
    }

    pub(crate) fn next(&self, heard: &mut Subscriber) -> Message {
        self.wait(heard.next()).expect("the connection is lost")
    }

    pub(crate) fn request(&self, topic: &str, body: &str) -> Result<Message, async_nats::RequestError> {
        let (topic, body) = (topic.to_owned(), body.to_owned());
        self.wait(self.client.request(topic, body.into()))
    }

    /// Makes a stream with these topics.
    pub(crate) fn make_stream(&self, name: &str, topics: &str) {
        let subjects = vec![topics.to_owned()];
        let config = stream::Config { name: name.to_owned(), subjects, ..Default::default() };
        self.wait(self.streams.create_stream(config)).unwrap();
    }

    /// Publishes to a stream, which has stored the message then.
    pub(crate) fn store(&self, topic: &str, body: &str) {
        self.store_with(topic, body, HeaderMap::new());
    }

    pub(crate) fn store_with(&self, topic: &str, body: &str, headers: HeaderMap) {
        let (topic, body) = (topic.to_owned(), body.to_owned());
        self.wait(async { self.streams.publish_with_headers(topic, headers, body.into()).await.unwrap().await })
            .unwrap();
    }

    /// What the server knows of a consumer: messages that were not delivered, and those that were not acknowledged.
    pub(crate) fn open(&self, stream: &str, consumer: &str) -> (u64, usize) {
        let found = self
            .wait(self.streams.get_consumer_from_stream::<jetstream::consumer::pull::Config, _, _>(consumer, stream));
        let mut found: PullConsumer = found.unwrap();
        let info = self.wait(found.info()).unwrap();
        (info.num_pending, info.num_ack_pending)
    }
}

/// The binding `bus` of that server, a module `m` with these keys, and triggers.
pub(crate) fn config(server: &Nats, keys: &str, triggers: &str) -> String {
    let (url, module) = (server.url(), module("m", keys));
    format!(
        "[bindings.bus]\ntype = \"messaging\"\nbackend = \"nats\"\nurl = \"{url}\"\nconnect_timeout = \"2s\"\n\
         circuit = {{ failures = 3, backoff = {{ initial = \"20ms\", max = \"200ms\" }} }}\n{module}{triggers}"
    )
}

/// Starts a daemon with that.
pub(crate) fn start(server: &Nats, keys: &str, triggers: &str) -> Daemon {
    Home::new(&config(server, keys, triggers)).start()
}
