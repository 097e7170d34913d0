//! What the protocol remembers about one instance, and the host's nine functions, written once for every engine.
//!
//! An engine gives each function the guest's linear memory as a slice; all pointers are checked here. The only place
//! where a guest can wait is a host call: it is handed back to the engine as a future, and its answer comes in through
//! [`ModuleHost::finish_host_call`].

use std::{
    any::Any,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{
    callback::{HostCall, HostCallError, HostCallFuture, HostCallback, HostCallbackAsync, HostErrorKind},
    clock::CallClock,
    console::{Console, GuestConsole, Stream},
    error::{BoxError, CallError, GuestExit, Part, chain},
    functions,
    limits::Limits,
    memory::{copy, read, write},
};

/// Who answers an instance's host calls.
#[derive(Clone)]
pub enum Callback {
    /// Nobody: each host call fails with `no_such_binding`.
    None,
    /// A plain closure.
    Plain(Arc<HostCallback>),
    /// An asynchronous closure.
    Async(Arc<HostCallbackAsync>),
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Plain(_) => "Plain",
            Self::Async(_) => "Async",
        })
    }
}

/// The nine functions of the import module `wapc`, as an engine calls them.
///
/// Pointers and lengths come from the guest as they are and are checked against `memory`; one that lies outside ends
/// the instance with the returned [`GuestExit`]. Zero bytes at any pointer are fine.
pub trait ModuleHost {
    /// Returns the process-wide unique id of the host, from 1 up.
    fn id(&self) -> u64;
    /// `__guest_request`: writes the operation at `op_ptr`, then the payload at `ptr`.
    fn guest_request(&self, memory: &mut [u8], op_ptr: u32, ptr: u32) -> Result<(), GuestExit>;
    /// `__guest_response`: takes the response; the last one wins.
    fn guest_response(&mut self, memory: &[u8], ptr: u32, len: u32) -> Result<(), GuestExit>;
    /// `__guest_error`: takes the error text; the last one wins.
    fn guest_error(&mut self, memory: &[u8], ptr: u32, len: u32) -> Result<(), GuestExit>;
    /// `__host_call`: begins a host call.
    fn host_call(&mut self, memory: &[u8], names: HostCallNames) -> Result<HostCallStep, GuestExit>;
    /// Ends a host call that [`HostCallStep::Wait`] began, with what its future returned; 1 ok, 0 error. Ends the
    /// instance when the deadline has passed meanwhile.
    fn finish_host_call(&mut self, result: Result<Bytes, BoxError>) -> Result<i32, GuestExit>;
    /// `__host_response_len`.
    fn host_response_len(&self) -> u32;
    /// `__host_response`: writes the last host response at `ptr`; nothing if there is none.
    fn host_response(&self, memory: &mut [u8], ptr: u32) -> Result<(), GuestExit>;
    /// `__host_error_len`.
    fn host_error_len(&self) -> u32;
    /// `__host_error`: writes the last host error at `ptr`; nothing if there is none.
    fn host_error(&self, memory: &mut [u8], ptr: u32) -> Result<(), GuestExit>;
    /// `__console_log`.
    fn console_log(&self, memory: &[u8], ptr: u32, len: u32) -> Result<(), GuestExit>;
}

/// The eight arguments of `__host_call`: pointer and length of each part.
#[derive(Debug, Clone, Copy)]
pub struct HostCallNames {
    /// The binding.
    pub binding: (u32, u32),
    /// The namespace.
    pub namespace: (u32, u32),
    /// The operation.
    pub operation: (u32, u32),
    /// The payload.
    pub payload: (u32, u32),
}

/// How a host call goes on.
#[derive(Debug)]
pub enum HostCallStep {
    /// It is over; the guest gets this number.
    Done(i32),
    /// The engine awaits this and gives the result to [`ModuleHost::finish_host_call`].
    Wait(PendingHostCall),
}

/// A host call under way. A panic of the callback's future becomes an error, and one while the future is dropped is
/// only logged: it must not unwind through a guest.
pub struct PendingHostCall(Option<HostCallFuture>);

impl fmt::Debug for PendingHostCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingHostCall")
    }
}

impl Future for PendingHostCall {
    type Output = Result<Bytes, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.0 else { return Poll::Pending };
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
            .unwrap_or_else(|panic| Poll::Ready(Err(callback_panicked(&*panic))))
    }
}

impl Drop for PendingHostCall {
    fn drop(&mut self) {
        let future = self.0.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
            tracing::error!(panic = panic_message(&*panic), "host callback panicked while it was dropped");
        }
    }
}

/// What does not change over the life of a host, whatever happens to its instances.
#[derive(Debug)]
pub(super) struct HostSide {
    pub(super) id: u64,
    pub(super) callback: Callback,
    pub(super) console: GuestConsole,
}

impl HostSide {
    pub(super) fn new(id: u64, callback: Callback, console: Arc<dyn Console>) -> Self {
        Self { id, callback, console: GuestConsole::new(console) }
    }
}

impl Drop for HostSide {
    /// What was dropped of a last flood is told when the host ends: nobody else can.
    fn drop(&mut self) {
        self.console.tell_dropped();
    }
}

/// The protocol's memory of one instance. An engine keeps it with the instance and calls it through [`ModuleHost`].
#[derive(Debug)]
pub struct ModuleState {
    host: Arc<HostSide>,
    /// Changed between two calls only.
    pub(super) limits: Limits,
    pub(super) clock: CallClock,
    operation: String,
    payload: Bytes,
    response: Said,
    error: Said,
    host_response: Bytes,
    host_error: String,
}

/// Longest name of an operation in bytes, and of a host call's binding and namespace: names are for people, and a longer
/// one is a payload in the wrong place.
pub const MAX_OPERATION: u64 = 64 * 1024;

/// Bytes of a guest's error text that are kept beside a trap: an explanation, which goes into logs and status, and not
/// a response.
const MAX_ERROR_BESIDE_TRAP: usize = 4 * 1024;

/// What a guest said with `__guest_response` or `__guest_error`.
#[derive(Debug, Default)]
enum Said {
    #[default]
    Nothing,
    Bytes(Bytes),
    TooLarge(u64),
}

impl ModuleState {
    pub(super) fn new(host: Arc<HostSide>, limits: Limits) -> Self {
        let clock = CallClock::within(limits.deadline);
        Self {
            host,
            limits,
            clock,
            operation: String::new(),
            payload: Bytes::new(),
            response: Said::Nothing,
            error: Said::Nothing,
            host_response: Bytes::new(),
            host_error: String::new(),
        }
    }

    /// Returns the limits of the instance.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns who answers host calls: an engine takes its synchronous path unless this is [`Callback::Async`].
    #[must_use]
    pub fn callback(&self) -> &Callback {
        &self.host.callback
    }

    /// Fails when the deadline of the call has passed. An engine asks at every chance that interrupts a guest.
    ///
    /// # Errors
    /// [`GuestExit::DeadlineExceeded`].
    pub fn check_deadline(&mut self) -> Result<(), GuestExit> {
        self.clock.check()
    }

    pub(super) fn console(&self) -> &GuestConsole {
        &self.host.console
    }

    /// Lays out a call: stores operation and payload, clears what the last one left.
    #[inline]
    pub(super) fn begin(&mut self, operation: &str, payload: Bytes, clock: CallClock) -> Result<(), CallError> {
        check_size(Part::Operation, operation.len(), MAX_OPERATION)?;
        check_size(Part::Payload, payload.len(), self.limits.payload.min(u32::MAX.into()))?;
        self.operation.clear();
        self.operation.push_str(operation);
        self.payload = payload;
        self.clock = clock;
        self.response = Said::Nothing;
        self.error = Said::Nothing;
        Ok(())
    }

    /// Bytes of operation and payload; both were checked against limits that fit.
    pub(super) fn lengths(&self) -> (u32, u32) {
        let fit = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        (fit(self.operation.len()), fit(self.payload.len()))
    }

    /// Ends a call: frees what it held and turns what the guest said into the outcome.
    #[inline]
    pub(super) fn finish(&mut self, returned: Result<i32, GuestExit>) -> Result<Bytes, CallError> {
        let response = std::mem::take(&mut self.response);
        let error = std::mem::take(&mut self.error);
        self.payload = Bytes::new();
        self.forget_host_call();
        self.host.console.report_dropped();
        let limit = self.limits.response;
        match (returned?, response, error) {
            (0, _, Said::Bytes(text)) => Err(CallError::Guest(text_of(&text))),
            (0, _, Said::TooLarge(size)) => Err(CallError::TooLarge { part: Part::GuestError, size, limit }),
            (0, _, Said::Nothing) => Err(CallError::Guest("no error message".to_owned())),
            (_, Said::Bytes(response), Said::Nothing) => Ok(response),
            (_, Said::Bytes(response), Said::Bytes(text)) => {
                tracing::warn!(host = self.host.id, error = text_of(&text), "guest set an error and succeeded");
                Ok(response)
            }
            (_, Said::Bytes(response), Said::TooLarge(size)) => {
                tracing::warn!(host = self.host.id, size, "guest set an error over the limit and succeeded");
                Ok(response)
            }
            (_, Said::TooLarge(size), _) => Err(CallError::TooLarge { part: Part::Response, size, limit }),
            (_, Said::Nothing, Said::Bytes(text)) => Err(CallError::Guest(text_of(&text))),
            (_, Said::Nothing, Said::TooLarge(size)) => {
                Err(CallError::TooLarge { part: Part::GuestError, size, limit })
            }
            (_, Said::Nothing, Said::Nothing) => Err(CallError::Guest("no response".to_owned())),
        }
    }

    /// Frees what the last host call brought: nothing of it outlives a call or a start.
    pub(super) fn forget_host_call(&mut self) {
        self.host_response = Bytes::new();
        self.host_error.clear();
    }

    /// The error text that the guest has set in this call, to be kept beside a trap.
    pub(super) fn said_error(&self) -> Option<String> {
        match &self.error {
            Said::Bytes(text) => Some(text_of(text.get(..MAX_ERROR_BESIDE_TRAP).unwrap_or(text))),
            Said::TooLarge(size) => Some(format!("(an error text of {size} bytes, over the limit)")),
            Said::Nothing => None,
        }
    }

    /// Copies what the guest said, unless it is over the limit.
    fn said(&self, memory: &[u8], ptr: u32, len: u32, function: &'static str) -> Result<Said, GuestExit> {
        let bytes = read(memory, ptr, len, function)?;
        let size = bytes.len() as u64;
        Ok(if size > self.limits.response { Said::TooLarge(size) } else { Said::Bytes(copy(bytes)) })
    }

    fn refuse_host_call(&mut self, kind: HostErrorKind, message: impl Into<String>) -> HostCallStep {
        HostCallStep::Done(self.answer(Err(HostCallError::new(kind, message).into())))
    }

    /// Keeps what a host call brought for the guest to fetch; 1 ok, 0 error.
    fn answer(&mut self, result: Result<Bytes, BoxError>) -> i32 {
        match result {
            Ok(response) if u32::try_from(response.len()).is_ok() => {
                self.host_response = response;
                1
            }
            Ok(response) => {
                self.host_error = format!("too_large: the answer of {} bytes does not fit a guest", response.len());
                0
            }
            Err(error) => {
                self.host_error = host_error_text(&*error);
                0
            }
        }
    }
}

impl ModuleHost for ModuleState {
    fn id(&self) -> u64 {
        self.host.id
    }

    fn guest_request(&self, memory: &mut [u8], op_ptr: u32, ptr: u32) -> Result<(), GuestExit> {
        write(memory, op_ptr, self.operation.as_bytes(), functions::GUEST_REQUEST)?;
        write(memory, ptr, &self.payload, functions::GUEST_REQUEST)
    }

    fn guest_response(&mut self, memory: &[u8], ptr: u32, len: u32) -> Result<(), GuestExit> {
        self.response = self.said(memory, ptr, len, functions::GUEST_RESPONSE)?;
        Ok(())
    }

    fn guest_error(&mut self, memory: &[u8], ptr: u32, len: u32) -> Result<(), GuestExit> {
        self.error = self.said(memory, ptr, len, functions::GUEST_ERROR)?;
        Ok(())
    }

    fn host_call(&mut self, memory: &[u8], names: HostCallNames) -> Result<HostCallStep, GuestExit> {
        let part = |(ptr, len)| read(memory, ptr, len, functions::HOST_CALL);
        let (binding, namespace, operation) = (part(names.binding)?, part(names.namespace)?, part(names.operation)?);
        let payload = part(names.payload)?;
        self.forget_host_call();
        let longest = binding.len().max(namespace.len()).max(operation.len()) as u64;
        if longest > MAX_OPERATION {
            let text = format!("a name of {longest} bytes in a host call is over the limit of {MAX_OPERATION} bytes");
            return Ok(self.refuse_host_call(HostErrorKind::TooLarge, text));
        }
        let (Ok(binding), Ok(namespace), Ok(operation)) =
            (str::from_utf8(binding), str::from_utf8(namespace), str::from_utf8(operation))
        else {
            return Ok(self.refuse_host_call(
                HostErrorKind::BadRequest,
                "binding, namespace and operation of a host call must be UTF-8",
            ));
        };
        let (size, limit) = (payload.len() as u64, self.limits.payload);
        if size > limit {
            let text = format!("payload of {size} bytes is over the limit of {limit} bytes");
            return Ok(self.refuse_host_call(HostErrorKind::TooLarge, text));
        }
        match &self.host.callback {
            Callback::None => {
                let text = format!("nobody answers host calls; the guest called binding `{binding}`");
                Ok(self.refuse_host_call(HostErrorKind::NoSuchBinding, text))
            }
            Callback::Plain(callback) => {
                self.clock.deadline();
                self.clock.in_host_call = true;
                let result =
                    catch_unwind(AssertUnwindSafe(|| callback(self.host.id, binding, namespace, operation, payload)))
                        .unwrap_or_else(|panic| Err(callback_panicked(&*panic)));
                Ok(HostCallStep::Done(self.finish_host_call(result)?))
            }
            Callback::Async(callback) => {
                self.clock.deadline();
                self.clock.in_host_call = true;
                let call = HostCall::new(binding, namespace, operation, copy(payload));
                match catch_unwind(AssertUnwindSafe(|| callback(self.host.id, call))) {
                    Ok(future) => Ok(HostCallStep::Wait(PendingHostCall(Some(future)))),
                    Err(panic) => Ok(HostCallStep::Done(self.finish_host_call(Err(callback_panicked(&*panic)))?)),
                }
            }
        }
    }

    fn finish_host_call(&mut self, result: Result<Bytes, BoxError>) -> Result<i32, GuestExit> {
        // A callback that blocked its thread passed the deadline where no timer could see it.
        self.clock.check()?;
        self.clock.in_host_call = false;
        Ok(self.answer(result))
    }

    fn host_response_len(&self) -> u32 {
        // Never saturates: finish_host_call lets nothing longer in.
        u32::try_from(self.host_response.len()).unwrap_or(u32::MAX)
    }

    fn host_response(&self, memory: &mut [u8], ptr: u32) -> Result<(), GuestExit> {
        write(memory, ptr, &self.host_response, functions::HOST_RESPONSE)
    }

    fn host_error_len(&self) -> u32 {
        u32::try_from(self.host_error.len()).unwrap_or(u32::MAX)
    }

    fn host_error(&self, memory: &mut [u8], ptr: u32) -> Result<(), GuestExit> {
        write(memory, ptr, self.host_error.as_bytes(), functions::HOST_ERROR)
    }

    fn console_log(&self, memory: &[u8], ptr: u32, len: u32) -> Result<(), GuestExit> {
        self.host.console.line(Stream::Log, read(memory, ptr, len, functions::CONSOLE_LOG)?);
        Ok(())
    }
}

fn check_size(part: Part, size: usize, limit: u64) -> Result<(), CallError> {
    let size = size as u64;
    if size > limit { Err(CallError::TooLarge { part, size, limit }) } else { Ok(()) }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `kind: message: causes`, as guests see it.
fn host_error_text(error: &(dyn std::error::Error + 'static)) -> String {
    if error.is::<HostCallError>() {
        return chain(error);
    }
    let inner = std::iter::successors(error.source(), |error| error.source());
    let kind = inner.filter_map(|cause| cause.downcast_ref::<HostCallError>()).map(|error| error.kind).next();
    format!("{}: {}", kind.unwrap_or(HostErrorKind::Internal), chain(error))
}

fn callback_panicked(panic: &(dyn Any + Send)) -> BoxError {
    let message = panic_message(panic);
    tracing::error!(panic = message, "host callback panicked");
    HostCallError::new(HostErrorKind::Internal, format!("the host panicked: {message}")).into()
}

/// The text of a caught panic.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a text".to_owned())
}
