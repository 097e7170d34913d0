//! Host calls: what a guest is asked to make, and the same calls as a program makes them that has the backend itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde::Serialize;
use wapcd::{
    bindings::{Answer, Binding, BindingCall, BindingReply, Caller, Chain, payload::Blob},
    config::Link,
    host::LineLimit,
};

use crate::harness::Failure;

/// Keys that are used: as many as three letters count.
pub(crate) const KEYS: u32 = 4096;

/// Bytes of a key.
const KEY: usize = 64;

/// Bytes of a value.
const VALUE: usize = 1024;

/// One of the keys; the guest counts its last letters in the same way.
pub(crate) fn key(number: u32) -> String {
    let letter = |digit: u32| char::from(b'a' + u8::try_from(number >> (4 * digit) & 15).unwrap_or_default());
    let mut key = "k".repeat(KEY - 3);
    key.extend([letter(0), letter(1), letter(2)]);
    key
}

/// What is kept under every key.
pub(crate) fn value() -> Bytes {
    Bytes::from(vec![b'v'; VALUE])
}

/// What is published to.
pub(crate) const TOPIC: &str = "bench.topic";

/// A host call that a guest makes again and again, with another key each time.
#[derive(Clone)]
pub(crate) struct Calls {
    namespace: &'static str,
    operation: &'static str,
    payload: Vec<u8>,
    /// Where the payload has the letters that change.
    place: Option<usize>,
}

/// The binding's name in every link of these measures.
pub(crate) const BINDING: &str = "test";

#[derive(Serialize)]
struct Get {
    key: String,
}

#[derive(Serialize)]
struct Set<'v> {
    key: String,
    value: Blob<'v>,
}

#[derive(Serialize)]
struct Publish<'v> {
    topic: &'v str,
    payload: Blob<'v>,
}

impl Calls {
    /// Host calls without a key.
    pub(crate) fn new(namespace: &'static str, operation: &'static str, payload: &[u8]) -> Self {
        Self { namespace, operation, payload: payload.to_vec(), place: None }
    }

    /// Reads of one key after the other.
    pub(crate) fn get() -> Result<Self, Failure> {
        Self::keyed("get", rmp_serde::to_vec_named(&Get { key: key(0) })?)
    }

    /// Writes under one key after the other.
    pub(crate) fn set() -> Result<Self, Failure> {
        Self::keyed("set", rmp_serde::to_vec_named(&Set { key: key(0), value: Blob::from(&*value()) })?)
    }

    /// Messages to one topic.
    pub(crate) fn publish(topic: &str) -> Result<Self, Failure> {
        let payload = rmp_serde::to_vec_named(&Publish { topic, payload: Blob::from(&*value()) })?;
        Ok(Self::new("", "publish", &payload))
    }

    fn keyed(operation: &'static str, payload: Vec<u8>) -> Result<Self, Failure> {
        let key = key(0);
        let at = payload.windows(KEY).position(|part| part == key.as_bytes()).ok_or("the payload has no key")?;
        Ok(Self { namespace: "", operation, payload, place: Some(at + KEY - 3) })
    }

    /// What the guest gets that shall make so many.
    pub(crate) fn times(&self, calls: u32) -> Result<Bytes, Failure> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len());
        let place = self.place.map_or(Ok(-1), i32::try_from)?;
        let parts = [BINDING.as_bytes(), self.namespace.as_bytes(), self.operation.as_bytes(), &self.payload];
        let mut bytes = calls.to_le_bytes().to_vec();
        for part in parts {
            bytes.extend(length(part)?.to_le_bytes());
        }
        bytes.extend(place.to_le_bytes());
        bytes.extend(parts.concat());
        Ok(bytes.into())
    }

    /// The payloads of all keys, ready to be sent.
    pub(crate) fn payloads(&self) -> Vec<Bytes> {
        let mut payload = self.payload.clone();
        let payloads = (0..KEYS).map(|number| {
            if let Some(letters) = self.place.and_then(|place| payload.get_mut(place..place + 3)) {
                letters.iter_mut().zip(key(number).bytes().skip(KEY - 3)).for_each(|(letter, new)| *letter = new);
            }
            Bytes::copy_from_slice(&payload)
        });
        payloads.collect()
    }

    /// The payload of the first key.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// Calls a binding itself, without a guest and without actors; it must answer at once.
    pub(crate) fn directly(&self, binding: Box<dyn Binding>, link: Arc<Link>) -> impl FnMut() -> Result<(), Failure> {
        let caller = Caller {
            module: "caller".into(),
            instance: 1,
            generation: 1,
            call: 1,
            deadline: Instant::now() + Duration::from_secs(3600),
            chain: Chain::default(),
            lines: LineLimit::default(),
        };
        let (operation, payloads) = (self.operation, self.payloads());
        let mut next = payloads.into_iter().cycle();
        move || {
            let payload = next.next().unwrap_or_default();
            let call = BindingCall {
                caller: caller.clone(),
                namespace: String::new(),
                operation: operation.to_owned(),
                payload,
                link: Arc::clone(&link),
            };
            succeeded(binding.call(call))
        }
    }
}

fn succeeded(answer: Answer) -> Result<(), Failure> {
    let reply: BindingReply = match answer {
        Answer::Now(reply) => reply,
        Answer::Later(_) => return Err("the binding does not answer at once".into()),
    };
    std::hint::black_box(reply?);
    Ok(())
}
