//! One route, as requests need it: settings turned into headers, credentials read.

use std::{borrow::Cow, path::Path, sync::Arc};

use hyper::header::HeaderValue;

use super::{authenticate::Guard, cors::Rules, problem::Refusal, request::decoded};
use crate::{
    config::{Payload, Route, Template},
    triggers::TriggerError,
    web::Kind,
};

/// One route, ready for requests.
#[derive(Debug)]
pub(super) struct Compiled {
    /// What the configuration says.
    pub(super) settings: Arc<Route>,
    /// Bytes of a body: the lesser of the route's and the trigger's limit.
    pub(super) max_body: u64,
    /// Who may call; `None`: everybody.
    pub(super) guard: Option<Guard>,
    /// Which pages may read answers; `None`: those of the same origin.
    pub(super) cors: Option<Rules>,
    /// The type of `raw` answers, where the configuration has one.
    pub(super) content_type: Option<HeaderValue>,
}

/// Whom a request is for.
pub(super) struct ModuleAndOperation<'r> {
    /// Name of the module.
    pub(super) module: Cow<'r, str>,
    /// The guest's operation.
    pub(super) operation: String,
}

impl Compiled {
    /// Reads the credentials of a route.
    ///
    /// # Errors
    /// They cannot be read or used.
    pub(super) fn new(route: &Arc<Route>, limit: u64, credentials: Option<&Path>) -> Result<Self, TriggerError> {
        let guard = route.authentication.as_ref().map(|known| Guard::new(known, credentials)).transpose()?;
        let content_type = match &route.payload {
            Payload::Raw { content_type: Some(text) } => Some(HeaderValue::from_str(text).map_err(|error| {
                // Not met with a configuration that was checked.
                TriggerError::Settings(format!("the content type {text:?} is no header value: {error}"))
            })?),
            Payload::Raw { content_type: None } | Payload::Http(_) => None,
        };
        Ok(Self {
            max_body: route.max_body.map_or(limit, |own| own.min(limit)),
            guard,
            cors: route.cors.as_ref().map(Rules::new),
            content_type,
            settings: Arc::clone(route),
        })
    }

    /// Whom a path is for.
    ///
    /// # Errors
    /// The path is not percent-encoded UTF-8, or names a module or operation that the route does not give.
    pub(super) fn target<'t>(
        &'t self,
        path: &str,
        parameters: &matchit::Params<'_, 't>,
    ) -> Result<ModuleAndOperation<'t>, Refusal> {
        if path.contains('%') {
            // Also those that nobody asks for: an address is right or wrong as a whole.
            parameters.iter().try_for_each(|(_, value)| decoded(value).map(drop))?;
        }
        let route = &*self.settings;
        let known = |name: &str| route.modules.as_ref().is_none_or(|list| list.iter().any(|known| &**known == name));
        let module = named(&route.module, parameters, known)?;
        let known = |name: &str| route.operations.as_ref().is_none_or(|list| list.iter().any(|known| known == name));
        let operation = named(&route.operation, parameters, known)?.into_owned();
        Ok(ModuleAndOperation { module, operation })
    }
}

/// The name itself, or the one in the path, if it may be named there.
fn named<'t>(
    template: &'t Template,
    parameters: &matchit::Params<'_, 't>,
    known: impl Fn(&str) -> bool,
) -> Result<Cow<'t, str>, Refusal> {
    match template {
        Template::Fixed(name) => Ok(Cow::Borrowed(name)),
        Template::Parameter(parameter) => {
            // The check of routes has seen that the pattern has the parameter.
            let name = decoded(parameters.get(&**parameter).unwrap_or_default())?;
            if known(&name) {
                return Ok(name);
            }
            Err(Refusal::new(Kind::NotFound, format!("the route does not give {name:?} as {{{parameter}}}")))
        }
    }
}
