//! What the supervisor does later: a timer sends it what is due.

use std::time::Duration;

use actix::{AsyncContext, Context, Handler, Message};

use super::tree::Supervisor;

impl Supervisor {
    /// Does something later, on this actor.
    pub(super) fn later(
        &self,
        after: Duration,
        ctx: &Context<Self>,
        act: impl FnOnce(&mut Self, &mut Context<Self>) + Send + 'static,
    ) {
        // A task of its own: an actor's own timers are all polled at each of its messages.
        let address = ctx.address();
        actix::spawn(async move {
            tokio::time::sleep(after).await;
            // A timer must not be lost to a full mailbox; there are few.
            address.do_send(Due(Box::new(act)));
        });
    }
}

/// What is done later.
type Deed = Box<dyn FnOnce(&mut Supervisor, &mut Context<Supervisor>) + Send>;

/// Something that was put off is due. Sent by the supervisor's own timers.
#[derive(Message)]
#[rtype(result = "()")]
struct Due(Deed);

impl Handler<Due> for Supervisor {
    type Result = ();

    fn handle(&mut self, Due(act): Due, ctx: &mut Context<Self>) {
        act(self, ctx);
    }
}
