//! Answers the host calls of the `config` binding, at once. Owns nothing but the binding's name.

use std::sync::Arc;

use super::{OPERATIONS, operations};
use crate::{
    bindings::{Answer, Binding, BindingCall, BindingFactory, BindingReply},
    config::Rules,
    host::{HostCallError, HostErrorKind},
};

/// Makes the `config` binding of each worker.
pub(super) struct ConfigFactory {
    name: Arc<str>,
}

impl ConfigFactory {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self { name }
    }
}

impl BindingFactory for ConfigFactory {
    fn make(&self, _worker: usize) -> Box<dyn Binding> {
        Box::new(Config { name: Arc::clone(&self.name) })
    }

    fn answers_at_once(&self) -> bool {
        true
    }
}

struct Config {
    name: Arc<str>,
}

impl Binding for Config {
    fn call(&self, call: BindingCall) -> Answer {
        Answer::Now(self.answer(&call))
    }
}

impl Config {
    fn answer(&self, call: &BindingCall) -> BindingReply {
        let Rules::Config(table) = &call.link.rules else {
            // The check of the configuration gives every link to this type its module's table.
            let why = format!("the link to binding `{}` has no configuration", self.name);
            return Err(HostCallError::new(HostErrorKind::Internal, why));
        };
        match call.operation.as_str() {
            "get" => operations::get(&call.payload, table),
            "all" => operations::all(&call.payload, table),
            _ => Err(call.no_such_operation(&self.name, &OPERATIONS)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;
    use crate::bindings::testing::call;

    fn answer(operation: &str, payload: &str, rules: Rules) -> Result<String, String> {
        let mut call = call(operation, payload);
        Arc::make_mut(&mut call.link).rules = rules;
        match ConfigFactory::new("config".into()).make(0).call(call) {
            Answer::Now(reply) => {
                reply.map(|reply| String::from_utf8(reply.to_vec()).unwrap()).map_err(|error| error.to_string())
            }
            Answer::Later(_) => Err("it does not answer at once".to_owned()),
        }
    }

    #[test]
    fn each_module_reads_the_table_that_its_link_brings() {
        let table = |table| Rules::Config(Arc::new(table));
        let get = r#"{"key":"greeting"}"#;
        assert_eq!(answer("get", get, table(json!({"greeting": "hello"}))).unwrap(), r#"{"value":"hello"}"#);
        assert_eq!(answer("get", get, table(json!({"greeting": 7}))).unwrap(), r#"{"value":7}"#);
        assert_eq!(answer("all", " {}", table(json!({}))).unwrap(), r#"{"config":{}}"#);
    }

    #[test]
    fn what_it_does_not_have_is_refused_with_what_it_has() {
        let error = answer("set", "{}", Rules::Config(Arc::new(json!({})))).unwrap_err();
        assert_eq!(error, "no_such_operation: binding `config` has no operation `set`: get, all");
        let error = answer("get", r#"{"key":"a"}"#, Rules::None).unwrap_err();
        assert_eq!(error, "internal: the link to binding `config` has no configuration");
    }
}
