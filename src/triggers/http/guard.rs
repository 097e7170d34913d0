//! Runs what a connection does, for as long as it may: its time limits, and what it is told from outside.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use tokio::time::Sleep;

use super::{
    connections::{Entry, Order},
    life::{Life, Phase},
};

/// The bounds of one connection.
pub(super) struct Guard {
    life: Rc<RefCell<Life>>,
    entry: Arc<Entry>,
    sleep: Option<Pin<Box<Sleep>>>,
    /// When `sleep` ends, while it is being waited for. It may end too early, which costs a look: most requests would only
    /// move it further away.
    armed: Option<Instant>,
    listens: bool,
    /// Whether the end was told to what runs.
    told: bool,
}

impl Guard {
    pub(super) fn new(life: Rc<RefCell<Life>>, entry: Arc<Entry>) -> Self {
        Self { life, entry, sleep: None, armed: None, listens: false, told: false }
    }

    /// Runs a step to its end; `None`: its time was over. `end` ends it as soon as what is being answered is answered.
    pub(super) async fn run<S: Future>(&mut self, step: S, end: impl Fn(Pin<&mut S>)) -> Option<S::Output> {
        let mut step = pin!(step);
        self.told = false;
        poll_fn(|cx| self.poll(step.as_mut(), &end, cx)).await
    }

    fn poll<S: Future>(
        &mut self,
        mut step: Pin<&mut S>,
        end: &impl Fn(Pin<&mut S>),
        cx: &mut Context<'_>,
    ) -> Poll<Option<S::Output>> {
        if !self.listens {
            // The waker of a task is the same for its life.
            self.entry.listen(cx.waker());
            self.listens = true;
        }
        match self.entry.order() {
            Order::Serve => {}
            Order::Drain => {
                self.life.borrow_mut().drain(Instant::now);
                // It can say so without ending; one request after the other is told so with its answer.
                if self.life.borrow().is_multiplexed() && !self.told {
                    self.told = true;
                    end(step.as_mut());
                }
            }
            Order::Cut => return Poll::Ready(None),
        }
        loop {
            if let Poll::Ready(output) = step.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            if !self.is_over(cx) {
                return Poll::Pending;
            }
            // One that waits for its client still has its end to tell.
            if self.life.borrow_mut().end_wait() {
                continue;
            }
            if self.life.borrow().phase() != Phase::Idle {
                return Poll::Ready(None);
            }
            self.life.borrow_mut().close();
            self.told = true;
            end(step.as_mut());
        }
    }

    /// Whether it has done too long what it is doing; else it is looked at again in time.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let due = self.life.borrow_mut().due(Instant::now);
            if let Some(due) = due.filter(|due| self.armed.is_none_or(|armed| armed > *due)) {
                self.armed = Some(due);
                match &mut self.sleep {
                    Some(sleep) => sleep.as_mut().reset(due.into()),
                    None => self.sleep = Some(Box::pin(tokio::time::sleep_until(due.into()))),
                }
            }
            let (Some(sleep), Some(armed)) = (&mut self.sleep, self.armed) else { return false };
            if sleep.as_mut().poll(cx).is_pending() {
                return false;
            }
            self.armed = None;
            if due.is_some_and(|due| due <= armed) {
                return true;
            }
        }
    }
}
