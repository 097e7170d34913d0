//! Compares bindings, key by key and without `..`, as `diff` does with sections.

use super::{
    Change,
    ChangeAction::{Add, Adjust, Remove, Restart as Anew},
    children::restart,
    diff::{Differences, whole},
};
use crate::config::model::{
    Binding, BindingLimits, BindingSettings as Settings, BlobBackend, BlobSettings, Circuit, HttpClientSettings,
    KeyValueBackend, KeyValueSettings, Member, MessagingBackend, MessagingSettings, MetricsSettings, ProcessSettings,
    SecretSettings, Server, SqlBackend, SqlSettings,
};

/// What differs between a binding and itself. One of another type has nothing in common with what it was.
pub(super) fn binding(old: &Binding, new: &Binding) -> Vec<Change> {
    let Binding { name, settings, limits, restart, shutdown, health } = new;
    let mut found = Differences::default();
    if !self::settings(&mut found, &old.settings, settings) {
        return [Remove, Add].map(|action| whole(Member::Binding(name.clone()), action)).into();
    }
    self::limits(&mut found, &old.limits, limits);
    self::restart(&mut found, &old.restart, restart);
    found.key("shutdown", Adjust, &old.shutdown, shutdown);
    found.key("health", Adjust, &old.health, health);
    found.of(name.clone(), Member::Binding)
}

fn limits(found: &mut Differences, old: &BindingLimits, new: &BindingLimits) {
    let BindingLimits { concurrent, queue, timeout, max_request, max_response } = new;
    found.key("limits.concurrent", Anew, &old.concurrent, concurrent);
    found.key("limits.queue", Anew, &old.queue, queue);
    found.key("limits.timeout", Anew, &old.timeout, timeout);
    found.key("limits.max_request", Anew, &old.max_request, max_request);
    found.key("limits.max_response", Anew, &old.max_response, max_response);
}

/// Compares what the type takes; `false` where the types differ.
fn settings(found: &mut Differences, old: &Settings, new: &Settings) -> bool {
    match (old, new) {
        (Settings::KeyValue(old), Settings::KeyValue(new)) => keyvalue(found, old, new),
        (Settings::Blob(old), Settings::Blob(new)) => blob(found, old, new),
        (Settings::Sql(old), Settings::Sql(new)) => sql(found, old, new),
        (Settings::Messaging(old), Settings::Messaging(new)) => messaging(found, old, new),
        (Settings::HttpClient(old), Settings::HttpClient(new)) => http_client(found, old, new),
        (Settings::Process(old), Settings::Process(new)) => process(found, old, new),
        (Settings::Secret(old), Settings::Secret(new)) => {
            let SecretSettings { secrets } = new;
            found.key("secrets", Anew, &old.secrets, secrets);
        }
        (Settings::Metrics(old), Settings::Metrics(new)) => {
            let MetricsSettings { max_series } = new;
            found.key("max_series", Anew, &old.max_series, max_series);
        }
        (old, new) => return old.type_name() == new.type_name(),
    }
    true
}

fn keyvalue(found: &mut Differences, old: &KeyValueSettings, new: &KeyValueSettings) {
    use KeyValueBackend::{Memory, Nats, Redb, Redis};
    let KeyValueSettings { backend, max_key, max_value } = new;
    match (&old.backend, backend) {
        (Memory { max_bytes: old }, Memory { max_bytes: new }) => found.key("max_bytes", Anew, old, new),
        (Redb { path: old, durability: was, cache: held }, Redb { path: new, durability, cache }) => {
            found.key("path", Anew, old, new);
            found.key("durability", Anew, was, durability);
            found.key("cache", Anew, held, cache);
        }
        (Redis { server: old, prefix: was }, Redis { server: new, prefix }) => {
            server(found, old, new);
            found.key("prefix", Anew, was, prefix);
        }
        (Nats { server: old, bucket: was }, Nats { server: new, bucket }) => {
            server(found, old, new);
            found.key("bucket", Anew, was, bucket);
        }
        (old, new) => found.key("backend", Anew, &old, &new),
    }
    found.key("max_key", Anew, &old.max_key, max_key);
    found.key("max_value", Anew, &old.max_value, max_value);
}

fn blob(found: &mut Differences, old: &BlobSettings, new: &BlobSettings) {
    use BlobBackend::{Directory, Memory, S3};
    let BlobSettings { backend, max_object } = new;
    match (&old.backend, backend) {
        (Directory { path: old }, Directory { path: new }) => found.key("path", Anew, old, new),
        (Memory { max_bytes: old }, Memory { max_bytes: new }) => found.key("max_bytes", Anew, old, new),
        (
            S3 { server: old, bucket: old_bucket, region: old_region, prefix: old_prefix },
            S3 { server: new, bucket, region, prefix },
        ) => {
            server(found, old, new);
            found.key("bucket", Anew, old_bucket, bucket);
            found.key("region", Anew, old_region, region);
            found.key("prefix", Anew, old_prefix, prefix);
        }
        (old, new) => found.key("backend", Anew, &old, &new),
    }
    found.key("max_object", Anew, &old.max_object, max_object);
}

fn sql(found: &mut Differences, old: &SqlSettings, new: &SqlSettings) {
    use SqlBackend::{Postgres, Sqlite};
    let SqlSettings { backend, max_rows } = new;
    match (&old.backend, backend) {
        (
            Sqlite { path: old, durability: was, busy_timeout: waited },
            Sqlite { path: new, durability, busy_timeout },
        ) => {
            found.key("path", Anew, old, new);
            found.key("durability", Anew, was, durability);
            found.key("busy_timeout", Anew, waited, busy_timeout);
        }
        (Postgres { server: old }, Postgres { server: new }) => server(found, old, new),
        (old, new) => found.key("backend", Anew, &old, &new),
    }
    found.key("max_rows", Anew, &old.max_rows, max_rows);
}

fn messaging(found: &mut Differences, old: &MessagingSettings, new: &MessagingSettings) {
    use MessagingBackend::{Local, Nats};
    let MessagingSettings { backend, queue, queue_bytes, max_message } = new;
    match (&old.backend, backend) {
        (Local, Local) => {}
        (Nats { server: old, jetstream: was }, Nats { server: new, jetstream }) => {
            server(found, old, new);
            found.key("jetstream", Anew, was, jetstream);
        }
        (old, new) => found.key("backend", Anew, &old, &new),
    }
    found.key("queue", Anew, &old.queue, queue);
    found.key("queue_bytes", Anew, &old.queue_bytes, queue_bytes);
    found.key("max_message", Anew, &old.max_message, max_message);
}

fn http_client(found: &mut Differences, old: &HttpClientSettings, new: &HttpClientSettings) {
    let HttpClientSettings {
        tls,
        connect_timeout,
        max_redirects,
        max_body,
        connections_per_host,
        idle_connections,
        user_agent,
    } = new;
    found.key("tls", Anew, &old.tls, tls);
    found.key("connect_timeout", Anew, &old.connect_timeout, connect_timeout);
    found.key("max_redirects", Anew, &old.max_redirects, max_redirects);
    found.key("max_body", Anew, &old.max_body, max_body);
    found.key("connections_per_host", Anew, &old.connections_per_host, connections_per_host);
    found.key("idle_connections", Anew, &old.idle_connections, idle_connections);
    found.key("user_agent", Anew, &old.user_agent, user_agent);
}

fn process(found: &mut Differences, old: &ProcessSettings, new: &ProcessSettings) {
    let ProcessSettings { command, args, env, directory, start_timeout } = new;
    found.key("command", Anew, &old.command, command);
    found.key("args", Anew, &old.args, args);
    found.key("env", Anew, &old.env, env);
    found.key("directory", Anew, &old.directory, directory);
    found.key("start_timeout", Anew, &old.start_timeout, start_timeout);
}

fn server(found: &mut Differences, old: &Server, new: &Server) {
    let Server { urls, user, password, tls, connect_timeout, connections, circuit } = new;
    let Circuit { failures, backoff } = circuit;
    found.key("url", Anew, &old.urls, urls);
    found.key("user", Anew, &old.user, user);
    found.key("password", Anew, &old.password, password);
    found.key("tls", Anew, &old.tls, tls);
    found.key("connect_timeout", Anew, &old.connect_timeout, connect_timeout);
    found.key("connections", Anew, &old.connections, connections);
    found.key("circuit.failures", Anew, &old.circuit.failures, failures);
    found.key("circuit.backoff", Anew, &old.circuit.backoff, backoff);
}
