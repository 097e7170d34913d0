//! `[triggers.NAME]`: what causes guest calls from outside; types, their settings, and what all of them have.

mod calendar;
mod files;
mod http;
mod messages;
mod route;
mod schedule;

use std::{sync::Arc, time::Duration};

pub use self::{
    calendar::{Calendar, CalendarError},
    files::{AfterFile, FilesSettings},
    http::{HttpLimits, HttpSettings, Listen, Listener, ServerTls},
    messages::{DurableConsumer, MessagesSettings},
    route::{Authentication, Cors, Payload, PayloadFormat, Route, Template},
    schedule::{Overlap, ScheduleSettings, When},
};
use super::{Restart, Shutdown};

/// One `[triggers.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// Its name.
    pub name: Arc<str>,
    /// Its type and what that type takes.
    pub settings: TriggerSettings,
    /// How it is restarted.
    pub restart: Restart,
    /// How long what it began may take to end when it is stopped.
    pub shutdown: Shutdown,
}

/// A trigger's type with its settings.
#[derive(Debug, Clone, PartialEq)]
pub enum TriggerSettings {
    /// `http`.
    Http(HttpSettings),
    /// `schedule`.
    Schedule(ScheduleSettings),
    /// `messages`.
    Messages(MessagesSettings),
    /// `files`.
    Files(FilesSettings),
}

/// Whom a trigger calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name of the module.
    pub module: Arc<str>,
    /// The guest's operation.
    pub operation: String,
    /// How long the call may take, where that is less than the module's `call_timeout`.
    pub timeout: Option<Duration>,
}

impl TriggerSettings {
    /// The name of the type in the configuration.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Schedule(_) => "schedule",
            Self::Messages(_) => "messages",
            Self::Files(_) => "files",
        }
    }

    /// Names of the modules that are called; without those that a request names.
    #[must_use]
    pub fn modules(&self) -> Vec<&Arc<str>> {
        match self {
            Self::Http(settings) => settings.routes.iter().flat_map(|route| route.modules()).collect(),
            Self::Schedule(settings) => vec![&settings.target.module],
            Self::Messages(settings) => vec![&settings.target.module],
            Self::Files(settings) => vec![&settings.target.module],
        }
    }

    /// Name of the binding that it stands on, where it does.
    #[must_use]
    pub fn binding(&self) -> Option<&Arc<str>> {
        match self {
            Self::Messages(settings) => Some(&settings.binding),
            Self::Http(_) | Self::Schedule(_) | Self::Files(_) => None,
        }
    }
}
