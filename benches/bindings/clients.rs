//! `keyvalue` and `messaging` on servers: the throughput of host calls beside the bare client of the same crate, which
//! sends the same commands about the same entries over as many connections, with as many tasks in flight.

use std::{sync::Arc, time::Instant};

use async_nats::jetstream::{self, kv};
use redis::aio::MultiplexedConnection;
use tokio::runtime::{Builder, Runtime};

use crate::{
    calls::{Calls, KEYS, TOPIC, key, value},
    daemon::{Daemon, fair},
    harness::{Contender, Failure, Report, WAITING, race_at},
    servers::{Nats, Redis},
    stage::Stage,
};

/// Host calls in flight: one after the other, and as many as a busy daemon has.
const IN_FLIGHT: [u32; 2] = [1, 64];

/// Instances of each module: as many as there are calls in flight.
const INSTANCES: usize = 64;

/// Of the bare client's throughput.
const SHARE: f64 = 0.8;

/// The module that calls.
const MODULE: &str = "caller";

/// Where the bare client runs: on as many threads as the daemon has workers.
struct Bare(Runtime);

impl Bare {
    fn new(threads: usize) -> Result<Self, Failure> {
        Ok(Self(Builder::new_multi_thread().worker_threads(threads).enable_all().build()?))
    }

    /// So many tasks, each of which makes its share one after the other.
    fn contender<'b, F>(
        &'b self,
        name: &'static str,
        in_flight: u32,
        work: impl Fn(u32) -> F + Clone + Send + 'static,
    ) -> Contender<'b>
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        Contender::timed(name, move |times| {
            let share = times.div_ceil(in_flight);
            let began = Instant::now();
            self.0.block_on(async {
                let task = |work: _| tokio::spawn(repeat(share, work));
                let tasks: Vec<_> = (0..in_flight).map(|_| task(work.clone())).collect();
                for task in tasks {
                    task.await??;
                }
                Ok::<_, Failure>(())
            })?;
            Ok(fair(began.elapsed(), times, in_flight))
        })
    }
}

async fn repeat<F>(times: u32, work: impl Fn(u32) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    for number in 0..times {
        work(number % KEYS).await?;
    }
    Ok(())
}

/// What keys are called under which the module's entries are in a server, where `SEPARATOR` is between the parts.
fn names(separator: char) -> Arc<Vec<String>> {
    Arc::new((0..KEYS).map(|number| format!("module{separator}{MODULE}{separator}{}", key(number))).collect())
}

/// As many workers as the daemon has by itself.
fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(crate) fn redis(stage: &Stage, report: &mut Report) -> Result<(), Failure> {
    let server = Redis::start();
    let url = server.url();
    let bindings =
        format!("[bindings.server]\ntype = \"keyvalue\"\nbackend = \"redis\"\nurl = \"{url}\"\nconnections = 1\n");
    let daemon = Daemon::start(&stage.system, workers(), &bindings, &[(MODULE, INSTANCES, "to = \"server\"")])?;
    let (get, set) = (Calls::get()?, Calls::set()?);
    stage.system.block_on(daemon.call(MODULE, "calls", set.times(KEYS)?))?;
    let bare = Bare::new(workers())?;
    let connection = bare.0.block_on(redis::Client::open(url)?.get_multiplexed_async_connection())?;
    let names = names(':');
    let read = {
        let (connection, names) = (connection.clone(), Arc::clone(&names));
        move |number| redis_get(connection.clone(), Arc::clone(&names), number)
    };
    let write = move |number| redis_set(connection.clone(), Arc::clone(&names), number);
    for in_flight in IN_FLIGHT {
        let contenders = vec![
            daemon.host_calls("host call", MODULE, in_flight, &get),
            bare.contender("crate redis", in_flight, read.clone()),
        ];
        report.shares(&format!("keyvalue on redis, get, {in_flight} in flight"), SHARE, &race_at(WAITING, contenders)?);
        let contenders = vec![
            daemon.host_calls("host call", MODULE, in_flight, &set),
            bare.contender("crate redis", in_flight, write.clone()),
        ];
        report.shares(&format!("keyvalue on redis, set, {in_flight} in flight"), SHARE, &race_at(WAITING, contenders)?);
    }
    daemon.stop()
}

async fn redis_get(mut connection: MultiplexedConnection, names: Arc<Vec<String>>, number: u32) -> Result<(), Failure> {
    let name = names.get(number as usize).ok_or("no such key")?;
    let found: Option<Vec<u8>> = redis::cmd("GET").arg(name).query_async(&mut connection).await?;
    found.map(drop).ok_or_else(|| "the server has lost a key".into())
}

async fn redis_set(mut connection: MultiplexedConnection, names: Arc<Vec<String>>, number: u32) -> Result<(), Failure> {
    let name = names.get(number as usize).ok_or("no such key")?;
    Ok(redis::cmd("SET").arg(name).arg(&*value()).query_async(&mut connection).await?)
}

pub(crate) fn nats(stage: &Stage, report: &mut Report) -> Result<(), Failure> {
    let server = Nats::start();
    let url = server.url();
    let bare = Bare::new(workers())?;
    let client = bare.0.block_on(async_nats::connect(&url))?;
    let jetstream = {
        // It starts a task of its own.
        let _inside = bare.0.enter();
        jetstream::new(client.clone())
    };
    bare.0.block_on(jetstream.create_stream(jetstream::stream::Config {
        name: "stored".to_owned(),
        subjects: vec![STORED.to_owned()],
        max_messages: 10_000,
        ..Default::default()
    }))?;
    let bindings = format!(
        "[bindings.entries]\ntype = \"keyvalue\"\nbackend = \"nats\"\nurl = \"{url}\"\nbucket = \"entries\"\n\
         [bindings.topics]\ntype = \"messaging\"\nbackend = \"nats\"\nurl = \"{url}\"\n\
         [bindings.stored]\ntype = \"messaging\"\nbackend = \"nats\"\nurl = \"{url}\"\njetstream = true\n"
    );
    let modules = [
        (MODULE, INSTANCES, "to = \"entries\""),
        ("publisher", INSTANCES, "to = \"topics\""),
        ("keeper", INSTANCES, "to = \"stored\""),
    ];
    let daemon = Daemon::start(&stage.system, workers(), &bindings, &modules)?;
    let (get, set) = (Calls::get()?, Calls::set()?);
    stage.system.block_on(daemon.call(MODULE, "calls", set.times(KEYS)?))?;
    let store = bare.0.block_on(jetstream.get_key_value("entries"))?;
    let names = names('.');
    for in_flight in IN_FLIGHT {
        let mut compare = |what: &str, contenders| {
            report.shares(&format!("{what}, {in_flight} in flight"), SHARE, &race_at(WAITING, contenders)?);
            Ok::<_, Failure>(())
        };
        let (entries, keys) = (store.clone(), Arc::clone(&names));
        let read = move |number| nats_get(entries.clone(), Arc::clone(&keys), number);
        let (entries, keys) = (store.clone(), Arc::clone(&names));
        let write = move |number| nats_put(entries.clone(), Arc::clone(&keys), number);
        let sender = client.clone();
        let publish = move |_| nats_publish(sender.clone());
        let stream = jetstream.clone();
        let keep = move |_| nats_keep(stream.clone());
        let host_calls = |module, calls: &Calls| daemon.host_calls("host call", module, in_flight, calls);
        let name = "crate async-nats";
        compare("keyvalue on nats, get", vec![host_calls(MODULE, &get), bare.contender(name, in_flight, read)])?;
        compare("keyvalue on nats, set", vec![host_calls(MODULE, &set), bare.contender(name, in_flight, write)])?;
        compare(
            "publish on nats",
            vec![host_calls("publisher", &Calls::publish(TOPIC)?), bare.contender(name, in_flight, publish)],
        )?;
        compare(
            "publish on nats with JetStream",
            vec![host_calls("keeper", &Calls::publish(STORED)?), bare.contender(name, in_flight, keep)],
        )?;
    }
    daemon.stop()
}

/// The topic that a stream stores.
const STORED: &str = "bench.stored";

async fn nats_get(store: kv::Store, names: Arc<Vec<String>>, number: u32) -> Result<(), Failure> {
    let name = names.get(number as usize).ok_or("no such key")?;
    store.get(name.as_str()).await?.map(drop).ok_or_else(|| "the server has lost a key".into())
}

async fn nats_put(store: kv::Store, names: Arc<Vec<String>>, number: u32) -> Result<(), Failure> {
    let name = names.get(number as usize).ok_or("no such key")?;
    store.put(name.as_str(), value()).await?;
    Ok(())
}

async fn nats_publish(client: async_nats::Client) -> Result<(), Failure> {
    client.publish(TOPIC, value()).await?;
    Ok(client.flush().await?)
}

async fn nats_keep(jetstream: jetstream::Context) -> Result<(), Failure> {
    jetstream.publish(STORED, value()).await?.await?;
    Ok(())
}
