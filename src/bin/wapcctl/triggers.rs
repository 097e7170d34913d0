//! What `wapcctl` asks of triggers: to start, to stop, to restart, and to call now.

use wapcd::{
    command::Exit,
    control::{Action, Client, page},
    supervisor::status::{ServiceState, TriggerStatus},
};

use super::{Failure, now, show};

/// What stands before the name of a trigger where a module's stands otherwise, as in the members of a group.
pub(super) const PREFIX: &str = "triggers.";

/// Asks for a change of state. A trigger that was asked to run and has failed is a failure of the command.
pub(super) async fn act(client: &Client, name: &str, action: Action, json: bool) -> Result<Exit, Failure> {
    let document = client.act_on_trigger(name, action).await?;
    let trigger: TriggerStatus = client.read(&document)?;
    show(&document, json, |_text| Ok(page::trigger_outcome(&trigger, now())))?;
    let failed = action != Action::Stop && trigger.state == ServiceState::Failed;
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

/// Lets a schedule call now.
pub(super) async fn run(client: &Client, name: &str, json: bool) -> Result<Exit, Failure> {
    let document = client.run_trigger(name.strip_prefix(PREFIX).unwrap_or(name)).await?;
    show(&document, json, |text| Ok(page::trigger_outcome(&client.read(text)?, now())))
}
