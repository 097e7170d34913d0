//! `wapcctl events`: what happened, and what happens where that is followed, of everything or of one part.

use serde::Deserialize as _;
use serde_json::Value;
use wapcd::{
    command::{
        self, Exit,
        operator::{Events, Of},
    },
    control::{Client, page},
    signals,
    supervisor::{
        events::{Event, Subject},
        status::Status,
    },
};

use super::Failure;

/// Which events are shown, and how.
struct Shown {
    of: Option<Subject>,
    json: bool,
}

/// Whose events are shown; `None` for those of everything.
fn subject(of: Of) -> Option<Subject> {
    let module = of.module.map(|name| Subject::Module(name.into()));
    let binding = of.binding.map(|name| Subject::Binding(name.into()));
    let group = of.group.map(|name| Subject::Group(name.into()));
    let trigger = of.trigger.map(|name| Subject::Trigger(name.into()));
    module.or(binding).or(group).or(trigger).or(of.worker.map(Subject::Worker))
}

/// Prints what happened, and what happens where that is followed.
pub(super) async fn events(client: &Client, wanted: Events, json: bool) -> Result<Exit, Failure> {
    let Events { follow, of, after } = wanted;
    let shown = Shown { of: subject(of), json };
    if !follow {
        let events: Vec<Value> = client.read(&client.get(&format!("events?after={after}")).await?)?;
        let text: String = events.iter().filter_map(|event| shown.line(event)).collect();
        // What was removed has events all the same.
        if let Some(subject) = shown.of.as_ref().filter(|_| text.is_empty()) {
            must_exist(client, subject).await?;
        }
        command::write_text(&text).map_err(Failure::Output)?;
        return Ok(Exit::Ok);
    }
    if let Some(subject) = &shown.of {
        must_exist(client, subject).await?;
    }
    signals::end_well_on_interrupt().map_err(Failure::Signals)?;
    let mut lines = client.lines(&format!("events?follow=true&after={after}")).await?;
    while let Some(line) = lines.next().await? {
        if let Some(text) = shown.line(&client.read(&line)?) {
            command::write_text(&text).map_err(Failure::Output)?;
        }
    }
    command::complain("wapcctl: the daemon has stopped");
    Ok(Exit::Ok)
}

/// Asks the daemon whether it has this: a name with a slip in it has no events, and that looks as if all were well.
async fn must_exist(client: &Client, subject: &Subject) -> Result<(), Failure> {
    if let Subject::Module(name) = subject {
        // The daemon's own error names the module.
        client.module(name).await?;
        return Ok(());
    }
    let status: Status = client.read(&client.get("status").await?)?;
    let exists = match subject {
        Subject::Daemon | Subject::Module(_) => true,
        Subject::Binding(name) => status.bindings.iter().any(|binding| *binding.name == **name),
        Subject::Group(name) => status.groups.iter().any(|group| *group.name == **name),
        Subject::Trigger(name) => status.triggers.iter().any(|trigger| *trigger.name == **name),
        Subject::Worker(index) => status.workers.iter().any(|worker| worker.index == *index),
    };
    if exists { Ok(()) } else { Err(Failure::Missing(subject.clone())) }
}

impl Shown {
    /// An event, or the note of lost ones, as a line; `None` for what is not to be shown.
    fn line(&self, document: &Value) -> Option<String> {
        let event = Event::deserialize(document).ok();
        if let (Some(wanted), Some(event)) = (&self.of, &event)
            && event.subject != *wanted
        {
            return None;
        }
        let text = match (event, document.get("lost").and_then(Value::as_u64)) {
            (Some(event), _) if !self.json => page::event(&event),
            (None, Some(lost)) if !self.json => page::lost(lost),
            // As it was sent; so is an event of a daemon that is newer than this command.
            _ => document.to_string(),
        };
        Some(text + "\n")
    }
}
