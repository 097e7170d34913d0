//! Maps host calls to operations of the broker that all workers share.

use std::sync::Arc;

use super::{
    broker::{Broker, Carrier, Publishing},
    operations::{OPERATIONS, answered, publish, published, request},
};
use crate::bindings::{Answer, BackendStatus, Binding, BindingCall, BindingFactory, Check};

/// Makes the `messaging` binding of each worker over the shared broker.
pub(super) struct MessagingFactory {
    name: Arc<str>,
    carrier: Arc<dyn Carrier>,
}

impl MessagingFactory {
    pub(super) fn new(name: Arc<str>, carrier: Arc<dyn Carrier>) -> Self {
        Self { name, carrier }
    }
}

impl BindingFactory for MessagingFactory {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(Messaging { name: Arc::clone(&self.name), broker: Arc::clone(&self.carrier) as Arc<dyn Broker> })
    }

    fn check(&self) -> Option<Check> {
        self.carrier.check()
    }

    fn backend(&self) -> Option<BackendStatus> {
        self.carrier.status()
    }

    fn broker(&self) -> Option<Arc<dyn Broker>> {
        Some(Arc::clone(&self.carrier) as Arc<dyn Broker>)
    }

    fn stop(&self) {
        self.carrier.stop();
    }
}

struct Messaging {
    name: Arc<str>,
    broker: Arc<dyn Broker>,
}

impl Binding for Messaging {
    fn call(&self, call: BindingCall) -> Answer {
        match call.operation.as_str() {
            "publish" => self.publish(&call),
            "request" => self.request(&call),
            _ => call.no_such_operation(&self.name, &OPERATIONS).into(),
        }
    }
}

impl Messaging {
    fn publish(&self, call: &BindingCall) -> Answer {
        let (message, format) = match publish(call) {
            Ok(read) => read,
            Err(error) => return error.into(),
        };
        match self.broker.publish(message) {
            Publishing::Now(outcome) => Answer::Now(outcome.and_then(|known| published(format, &known))),
            Publishing::Later(outcome) => {
                Answer::Later(Box::pin(async move { outcome.await.and_then(|known| published(format, &known)) }))
            }
        }
    }

    fn request(&self, call: &BindingCall) -> Answer {
        let (message, until, format) = match request(call) {
            Ok(read) => read,
            Err(error) => return error.into(),
        };
        let answer = self.broker.request(message, until);
        Answer::Later(Box::pin(async move { answer.await.and_then(|answer| answered(format, &answer)) }))
    }
}
