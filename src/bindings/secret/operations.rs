//! What the `secret` binding decides: which secret is asked for, and whether the link allows it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{
    bindings::{
        BindingReply,
        payload::{Blob, Format, cut, decode, encode},
    },
    config::Rules,
    host::{HostCallError, HostErrorKind},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Get<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Serialize)]
struct Value<'a> {
    value: Blob<'a>,
}

/// The name of the secret that is asked for.
pub(super) fn name(payload: &[u8]) -> Result<(Cow<'_, str>, Format), HostCallError> {
    decode(payload).map(|(Get { name }, format)| (name, format))
}

/// Whether the link allows that secret.
pub(super) fn check(name: &str, rules: &Rules) -> Result<(), HostCallError> {
    match rules {
        Rules::Secrets(names) if names.iter().any(|allowed| allowed == name) => Ok(()),
        _ => {
            let why = format!("secret `{}` is not among the `secrets` of the link", cut(name));
            Err(HostCallError::new(HostErrorKind::NotAllowed, why))
        }
    }
}

/// The link allows a secret that the binding does not have.
pub(super) fn unknown(binding: &str, name: &str) -> HostCallError {
    HostCallError::new(HostErrorKind::NotFound, format!("binding `{binding}` has no secret `{}`", cut(name)))
}

/// The answer.
pub(super) fn reply(format: Format, value: &[u8]) -> BindingReply {
    encode(format, &Value { value: Blob::from(value) })
}
