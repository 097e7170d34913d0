//! `listen` and `publish`: the messages of a binding, for people.

use std::{ffi::OsString, time::Duration};

use bytes::Bytes;
use serde::Deserialize as _;
use serde_json::Value;
use wapcd::{
    command::{
        self, Exit,
        operator::{Listen, Publish},
    },
    control::{Client, MessageLine, page},
    signals,
};

use super::Failure;

/// Prints messages as they come, and answers those that want it.
pub(super) async fn listen(client: &Client, wanted: Listen, json: bool) -> Result<Exit, Failure> {
    let Listen { binding, topic, reply, count } = wanted;
    signals::end_well_on_interrupt().map_err(Failure::Signals)?;
    let mut lines = client.listen(&binding, &topic, count).await?;
    let mut left = count;
    while let Some(line) = lines.next().await? {
        let document: Value = client.read(&line)?;
        let message = MessageLine::deserialize(&document).ok();
        let text = match &message {
            Some(message) if !json => page::message(message),
            None if !json => {
                document.get("lost").and_then(Value::as_u64).map_or(document.to_string(), page::lost_messages)
            }
            _ => document.to_string(),
        };
        command::write_text(&(text + "\n")).map_err(Failure::Output)?;
        let Some(message) = message else { continue };
        left = left.map(|left| left.saturating_sub(1));
        if let (Some(reply), Some(reply_to)) = (&reply, &message.reply_to) {
            let payload = Bytes::copy_from_slice(reply.as_bytes());
            client.publish((&binding, reply_to), &[], payload, None).await?;
        }
    }
    if left != Some(0) {
        command::complain("wapcctl: the binding has stopped");
    }
    Ok(Exit::Ok)
}

/// Headers with which services of NATS, triggers among them, answer that they failed.
const SERVICE_ERROR: &str = "Nats-Service-Error";
const SERVICE_ERROR_CODE: &str = "Nats-Service-Error-Code";

/// Publishes a message and prints its answer where one was asked for: its payload, or with `--json` all of it. An answer
/// that says that whoever heard the request failed is a failure of the command.
pub(super) async fn publish(client: &Client, wanted: Publish, json: bool) -> Result<Exit, Failure> {
    let Publish { binding, topic, payload, no_payload, headers, request, patience } = wanted;
    let payload = if no_payload { Some(OsString::new()) } else { payload };
    let payload = command::payload(payload).map_err(Failure::Payload)?;
    let patience = request.then(|| Duration::from_secs(patience));
    let answer = client.publish((&binding, &topic), &headers, payload, patience).await?;
    if json {
        command::write_text(&(String::from_utf8_lossy(&answer).into_owned() + "\n")).map_err(Failure::Output)?;
    } else if request {
        let answer: MessageLine = client.read(&answer)?;
        command::write_response(answer.payload.as_ref()).map_err(Failure::Output)?;
        if let Some(error) = answer.headers.get(SERVICE_ERROR) {
            let code = answer.headers.get(SERVICE_ERROR_CODE).map(|code| format!(" ({code})")).unwrap_or_default();
            command::complain(&format!("wapcctl: {}{}", page::lines(error), page::lines(&code)));
            return Ok(Exit::Failed);
        }
    } else {
        let known = page::published(&client.read(&answer)?);
        command::write_text(&known).map_err(Failure::Output)?;
    }
    Ok(Exit::Ok)
}
