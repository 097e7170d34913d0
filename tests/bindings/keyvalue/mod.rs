//! `keyvalue`: one suite for all backends, races, faults of its servers, and what a killed daemon leaves behind.

mod durable;
mod faults;
mod races;
mod secured;
mod shared;
mod suite;

use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;
use wapcd::config::{Binding, BindingSettings, Durability, KeyValueBackend, KeyValueSettings, Server};

use crate::{
    harness::{Opened, open},
    servers::{Nats, Redis},
};

/// Bytes of a key and of a value in these tests; what NATS takes in a message is a megabyte.
const MAX_KEY: u64 = 1024;
const MAX_VALUE: u64 = 512 * 1024;
/// Bytes of a cache, in which small values stay and large ones do not.
const CACHE: u64 = 1024 * 1024;

/// A binding over that backend.
fn binding(backend: KeyValueBackend) -> Binding {
    let settings = KeyValueSettings { backend, max_key: MAX_KEY, max_value: MAX_VALUE };
    Binding::with_defaults("cache", BindingSettings::KeyValue(settings))
}

fn memory() -> Binding {
    binding(KeyValueBackend::Memory { max_bytes: 64 * 1024 * 1024 })
}

fn redb(path: PathBuf, durability: Durability) -> Binding {
    binding(KeyValueBackend::Redb { path, durability, cache: CACHE })
}

fn redis(server: Server) -> Binding {
    binding(KeyValueBackend::Redis { server, prefix: "test:".to_owned() })
}

fn nats(server: Server) -> Binding {
    binding(KeyValueBackend::Nats { server, bucket: "test-bucket".to_owned() })
}

/// An open binding with what keeps its backend.
struct Fixture {
    opened: Opened,
    _directory: Option<TempDir>,
    _redis: Option<Redis>,
    _nats: Option<Nats>,
}

impl Fixture {
    fn memory() -> Self {
        Self { opened: open(&memory()), _directory: None, _redis: None, _nats: None }
    }

    fn redb(durability: Durability) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let opened = open(&redb(directory.path().join("cache.redb"), durability));
        Self { opened, _directory: Some(directory), _redis: None, _nats: None }
    }

    fn redis() -> Self {
        let server = Redis::start();
        Self { opened: open(&redis(server.server())), _directory: None, _redis: Some(server), _nats: None }
    }

    fn nats() -> Self {
        let server = Nats::start();
        Self { opened: open(&nats(server.server())), _directory: None, _redis: None, _nats: Some(server) }
    }
}

/// A server behind a binding, to do something to.
trait Backing {
    fn start() -> Self;
    fn absent() -> Binding;
    fn binding(&self) -> Binding;
    fn kill(&mut self);
    fn restart(&mut self);
    fn pause(&self);
    fn resume(&self);
    fn port(&self) -> u16;
    /// The binding by way of another port.
    fn by_way_of(&self, port: u16) -> Binding;
}

macro_rules! backing {
    ($server:ident, $binding:ident, $scheme:literal) => {
        impl Backing for $server {
            fn start() -> Self {
                $server::start()
            }

            fn absent() -> Binding {
                // Nobody listens on the port of a server that is gone.
                let port = $server::start().port();
                $binding(crate::servers::server(format!(concat!($scheme, "://127.0.0.1:{}"), port)))
            }

            fn binding(&self) -> Binding {
                $binding(self.server())
            }

            fn kill(&mut self) {
                std::ops::DerefMut::deref_mut(self).kill();
            }

            fn restart(&mut self) {
                std::ops::DerefMut::deref_mut(self).restart();
            }

            fn pause(&self) {
                std::ops::Deref::deref(self).pause();
            }

            fn resume(&self) {
                std::ops::Deref::deref(self).resume();
            }

            fn port(&self) -> u16 {
                std::ops::Deref::deref(self).port()
            }

            fn by_way_of(&self, port: u16) -> Binding {
                $binding(crate::servers::server(format!(concat!($scheme, "://127.0.0.1:{}"), port)))
            }
        }
    };
}

backing!(Redis, redis, "redis");
backing!(Nats, nats, "nats");

/// Sets a key to one byte, in JSON.
async fn set(opened: &Opened, key: &str) -> Result<(), String> {
    opened.call("m", "set", json!({"key": key, "value": "MQ=="})).await.map(|_| ())
}
