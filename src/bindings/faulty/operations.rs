//! The faults.
#![expect(clippy::panic, reason = "panics are what is asked for")]

use std::{thread, time::Duration};

use bytes::Bytes;

use super::backend::Backend;
use crate::{
    bindings::{
        Answer, BindingCall,
        payload::{bad_request, cut},
    },
    host::{HostCallError, HostErrorKind},
};

/// The operations.
pub(in crate::bindings) const OPERATIONS: [&str; 9] =
    ["echo", "panic", "panic_later", "maybe", "block", "slow", "sick", "well", "broken_start"];

/// Does what the operation says.
pub(super) fn run(backend: &Backend, call: BindingCall) -> Answer {
    let payload = call.payload;
    match call.operation.as_str() {
        "echo" => Answer::Now(Ok(payload)),
        "panic" => panic!("{}", text(&payload)),
        "panic_later" => Answer::Later(Box::pin(async move {
            tokio::task::yield_now().await;
            panic!("{}", text(&payload))
        })),
        "maybe" => with_number(&payload, |odds| {
            assert!(rand::random_range(0..odds.max(1)) != 0, "once in {odds} calls");
            Answer::Now(Ok(payload.clone()))
        }),
        "block" => with_number(&payload, |millis| {
            block(Duration::from_millis(millis));
            Answer::Now(Ok(payload.clone()))
        }),
        "slow" => with_number(&payload, |millis| {
            let answer = payload.clone();
            Answer::Later(Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                Ok(answer)
            }))
        }),
        "sick" => changed(|| backend.fall_sick(&*payload == b"for_good")),
        "well" => changed(|| backend.get_well()),
        "broken_start" => changed(|| backend.break_starts()),
        other => {
            let why =
                format!("binding `{}` has no operation `{}`: {}", backend.name, cut(other), OPERATIONS.join(", "));
            HostCallError::new(HostErrorKind::NoSuchOperation, why).into()
        }
    }
}

fn changed(change: impl FnOnce()) -> Answer {
    change();
    Answer::Now(Ok(Bytes::new()))
}

#[expect(clippy::disallowed_methods, reason = "the worker is to be blocked, as broken native code would")]
fn block(time: Duration) {
    thread::sleep(time);
}

fn with_number(payload: &Bytes, work: impl FnOnce(u64) -> Answer) -> Answer {
    match text(payload).trim().parse() {
        Ok(number) => work(number),
        Err(error) => bad_request(format!("the payload is no decimal number: {error}")).into(),
    }
}

fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).into_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{sync::Arc, time::Instant};

    use futures_util::FutureExt;

    use crate::bindings::{Answer, BindingFactory, faulty::start, guard, testing::call};

    fn ask(factory: &dyn BindingFactory, operation: &str, payload: &str) -> Result<String, String> {
        match factory.make(0).call(call(operation, payload)) {
            Answer::Now(reply) => {
                reply.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).map_err(|error| error.to_string())
            }
            Answer::Later(_) => Err("later".to_owned()),
        }
    }

    fn check(factory: &dyn BindingFactory) -> Result<(), String> {
        factory.check().unwrap().now_or_never().unwrap()
    }

    fn open(name: &str) -> Result<Arc<dyn BindingFactory>, String> {
        start(name.into()).map_err(|error| error.to_string())
    }

    #[test]
    fn sickness_ends_with_the_backend_unless_it_is_for_good() {
        let first = open("sick").unwrap();
        assert_eq!(check(&*first), Ok(()));
        ask(&*first, "sick", "").unwrap();
        assert_eq!(check(&*first), Err("the backend of binding `sick` was told to be sick".to_owned()));
        assert_eq!(check(&*open("sick").unwrap()), Ok(()));
        ask(&*first, "sick", "for_good").unwrap();
        let next = open("sick").unwrap();
        assert!(check(&*next).is_err() && check(&*open("other").unwrap()).is_ok());
        ask(&*next, "well", "").unwrap();
        assert_eq!(check(&*next), Ok(()));
    }

    #[test]
    fn two_openings_fail_after_broken_start_and_only_those() {
        let first = open("broken").unwrap();
        ask(&*first, "broken_start", "").unwrap();
        let errors = [(); 2].map(|()| open("broken").unwrap_err());
        assert_eq!(errors, ["binding `broken`: told not to start"; 2]);
        open("other").unwrap();
        open("broken").unwrap();
    }

    #[test]
    fn panics_blocks_and_answers_as_it_is_told() {
        let factory = open("told").unwrap();
        let caught = |operation, payload| guard::catch(|| ask(&*factory, operation, payload));
        assert_eq!(caught("echo", "x"), Ok(Ok("x".into())));
        assert_eq!(caught("panic", "ouch"), Err("ouch".into()));
        assert_eq!(caught("maybe", "1"), Err("once in 1 calls".into()));
        let panics = (0..200).filter(|_| caught("maybe", "2").is_err()).count();
        assert!(panics > 20 && panics < 180, "{panics}");
        let began = Instant::now();
        assert_eq!(caught("block", "30"), Ok(Ok("30".into())));
        assert!(began.elapsed().as_millis() >= 30);
        let error = "bad_request: the payload is no decimal number: invalid digit found in string";
        assert_eq!(caught("slow", "soon"), Ok(Err(error.into())));
        assert!(caught("print", "").unwrap().unwrap_err().starts_with("no_such_operation: binding `told` has no"));
    }

    #[actix::test]
    async fn answers_late_without_blocking_and_panics_later() {
        let factory = open("late").unwrap();
        let later = |operation, payload| match factory.make(0).call(call(operation, payload)) {
            Answer::Later(work) => work,
            Answer::Now(reply) => Box::pin(std::future::ready(reply)),
        };
        let began = Instant::now();
        assert!(later("slow", "20").now_or_never().is_none());
        assert_eq!(later("slow", "20").await.unwrap(), "20");
        assert!(began.elapsed().as_millis() >= 20);
        let panic = guard::Guarded::new(later("panic_later", "ouch")).await;
        assert_eq!(panic.unwrap_err(), "ouch");
    }
}
