//! `listen` and `publish`: the messages of a binding, for people.

use std::{ffi::OsString, time::Duration};

use bytes::Bytes;
use clap::Args;
use serde::Deserialize as _;
use serde_json::Value;
use wapcd::{
    command::{self, Exit},
    control::{Client, MessageLine, page},
    signals,
};

use super::Failure;

/// What is listened to.
#[derive(Debug, Args)]
pub(super) struct Listen {
    /// Name of the binding
    binding: String,
    /// A topic, or a pattern: `*` stands for one part between dots, `>` for all that follow
    topic: String,
    /// Answer every message that wants an answer with this text
    #[arg(long, value_name = "TEXT")]
    reply: Option<String>,
    /// End after so many messages
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// What is published.
#[derive(Debug, Args)]
pub(super) struct Publish {
    /// Name of the binding
    binding: String,
    /// The topic
    topic: String,
    /// Take this text as the payload
    #[arg(long, value_name = "TEXT", conflicts_with = "no_payload")]
    payload: Option<OsString>,
    /// Send an empty payload and leave standard input alone
    #[arg(long)]
    no_payload: bool,
    /// Send this header too
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Wait for an answer, and print it
    #[arg(long)]
    request: bool,
    /// Seconds to wait for the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 5, requires = "request",
        value_parser = clap::value_parser!(u64).range(1..=600))]
    patience: u64,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("it is NAME:VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

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
