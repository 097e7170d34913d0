//! What a consumer of a stream is on the server: found, made, or brought up to what is wanted of it.

use async_nats::jetstream::{
    self, Context, ErrorCode,
    consumer::{AckPolicy, Config, Consumer, FromConsumer as _, PullConsumer, pull},
    context::GetStreamByNameErrorKind,
    stream::{ConsumerError, ConsumerErrorKind},
};

use crate::{
    bindings::{circuit::Failure, messaging::durable::Durable},
    config::Topic,
    host::{HostCallError, HostErrorKind},
};

/// Messages that all who take part may have at once, where none of them has more: the server's own default. Those that wait
/// to be delivered again count too.
const UNACKNOWLEDGED: i64 = 1000;

/// Finds the consumer, or makes it; one that is not as it is wanted is changed where the server lets that be.
pub(super) async fn bind(context: &Context, durable: &Durable) -> Result<PullConsumer, Failure> {
    let stream = match &durable.stream {
        Some(stream) => stream.clone(),
        None => stream_of(context, durable).await?,
    };
    let subject = Subject { consumer: &durable.name, stream: &stream };
    match context.get_consumer_from_stream::<Config, _, _>(&durable.name, &stream).await {
        Ok(found) => adopt(context, durable, found, subject).await,
        Err(error) if is(&error, ErrorCode::CONSUMER_NOT_FOUND) => {
            let made = context.create_consumer_on_stream(settings(durable), &stream).await;
            made.map_err(|error| subject.failure("cannot be made", error))
        }
        Err(error) if is(&error, ErrorCode::STREAM_NOT_FOUND) => {
            let text = format!("the server has no stream `{stream}`");
            Err(Failure::Request(HostCallError::new(HostErrorKind::NotFound, text)))
        }
        Err(error) => Err(subject.failure("cannot be looked at", error)),
    }
}

/// The stream that has the first topic; the server refuses a consumer whose other topics are not there.
async fn stream_of(context: &Context, durable: &Durable) -> Result<String, Failure> {
    let topic = durable.topics.first().map(Topic::as_str).unwrap_or_default();
    context.stream_by_subject(topic).await.map_err(|error| match error.kind() {
        GetStreamByNameErrorKind::NotFound => {
            let text = format!("no stream of the server has topic `{topic}`");
            Failure::Request(HostCallError::new(HostErrorKind::NotFound, text))
        }
        _ => {
            let text = format!("the server does not say which stream has topic `{topic}`");
            Failure::Request(HostCallError::with_source(HostErrorKind::Unavailable, text, error))
        }
    })
}

/// A consumer as it is made: everything that the stream has, each message until it is acknowledged, as often as the daemon
/// wants it. When to give up is the daemon's business, which has to put the message elsewhere first.
fn settings(durable: &Durable) -> pull::Config {
    pull::Config {
        durable_name: Some(durable.name.clone()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: durable.ack_wait,
        max_deliver: -1,
        filter_subjects: durable.topics.iter().map(|topic| topic.as_str().to_owned()).collect(),
        max_ack_pending: i64::from(durable.at_once).max(UNACKNOWLEDGED),
        ..pull::Config::default()
    }
}

/// Takes a consumer that exists.
async fn adopt(
    context: &Context,
    durable: &Durable,
    found: Consumer<Config>,
    subject: Subject<'_>,
) -> Result<PullConsumer, Failure> {
    let info = found.cached_info().clone();
    if info.config.deliver_subject.is_some() {
        return Err(subject.unfit("it is a push consumer"));
    }
    if info.config.ack_policy != AckPolicy::Explicit {
        return Err(subject.unfit("its messages are not acknowledged one by one (`ack_policy` is not `explicit`)"));
    }
    let found = pull::Config::try_from_consumer_config(info.config.clone());
    let found = found.map_err(|error| {
        Failure::Request(HostCallError::with_source(HostErrorKind::Conflict, subject.to_string(), error))
    })?;
    match changed(durable, &found) {
        None => Ok(Consumer::new(found, info, context.clone())),
        Some(wanted) => {
            let updated = context.create_consumer_on_stream(wanted, subject.stream).await;
            updated.map_err(|error| subject.failure("is there with other settings, which cannot be changed", error))
        }
    }
}

/// The settings with what has to be otherwise; `None` where nothing has. What the daemon has no opinion on stays.
fn changed(durable: &Durable, found: &pull::Config) -> Option<pull::Config> {
    let wanted = settings(durable);
    let mut filters = found.filter_subjects.clone();
    filters.extend((!found.filter_subject.is_empty()).then(|| found.filter_subject.clone()));
    let same_filters = filters.len() == wanted.filter_subjects.len()
        && wanted.filter_subjects.iter().all(|filter| filters.contains(filter));
    let has_room = found.max_ack_pending < 0 || found.max_ack_pending >= i64::from(durable.at_once);
    let endless = found.max_deliver <= 0;
    if same_filters && has_room && endless && found.ack_wait == wanted.ack_wait && found.backoff.is_empty() {
        return None;
    }
    Some(pull::Config {
        filter_subject: String::new(),
        filter_subjects: wanted.filter_subjects,
        max_ack_pending: if has_room { found.max_ack_pending } else { wanted.max_ack_pending },
        max_deliver: wanted.max_deliver,
        ack_wait: wanted.ack_wait,
        backoff: Vec::new(),
        ..found.clone()
    })
}

/// What errors are about.
#[derive(Clone, Copy)]
struct Subject<'s> {
    consumer: &'s str,
    stream: &'s str,
}

impl std::fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "consumer `{}` of stream `{}`", self.consumer, self.stream)
    }
}

impl Subject<'_> {
    fn unfit(self, why: &str) -> Failure {
        let text = format!("{self} cannot be used: {why}");
        Failure::Request(HostCallError::new(HostErrorKind::Conflict, text))
    }

    fn failure(self, what: &str, error: ConsumerError) -> Failure {
        let kind = match error.kind() {
            ConsumerErrorKind::TimedOut => return Failure::Server(error.into()),
            ConsumerErrorKind::JetStream(_) => HostErrorKind::Conflict,
            _ => HostErrorKind::Unavailable,
        };
        Failure::Request(HostCallError::with_source(kind, format!("{self} {what}"), error))
    }
}

fn is(error: &ConsumerError, code: ErrorCode) -> bool {
    matches!(error.kind(), ConsumerErrorKind::JetStream(error) if jetstream::Error::error_code(&error) == code)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use super::*;

    fn durable(at_once: u32) -> Durable {
        let topics = vec!["a.*".parse().unwrap(), "b".parse().unwrap()];
        Durable { name: "c".to_owned(), stream: None, topics, ack_wait: Duration::from_secs(30), at_once }
    }

    #[test]
    fn a_consumer_that_fits_is_left_alone_and_one_that_does_not_keeps_what_it_may() {
        let fits = settings(&durable(16));
        assert_eq!(changed(&durable(16), &fits), None);
        assert_eq!(changed(&durable(1000), &fits), None);
        assert_eq!(changed(&durable(2000), &fits).unwrap().max_ack_pending, 2000);
        let single = pull::Config {
            filter_subject: "a.*".to_owned(),
            filter_subjects: Vec::new(),
            description: Some("of somebody".to_owned()),
            max_deliver: 3,
            ..fits.clone()
        };
        let wanted = changed(&durable(16), &single).unwrap();
        assert_eq!((wanted.filter_subject.as_str(), wanted.max_deliver), ("", -1));
        assert_eq!((wanted.filter_subjects, wanted.description), (fits.filter_subjects, single.description));
    }
}
