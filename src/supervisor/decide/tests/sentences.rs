//! The sentences that decisions follow: OTP's from the manual page of `supervisor` and the chapter "Supervisor Behaviour",
//! and what wapcd's design says of its own.

pub(super) const PERMANENT: &str = "OTP: A `permanent` child process is always restarted.";
pub(super) const TRANSIENT: &str = "OTP: A `transient` child process is restarted only if it terminates abnormally, that is, \
    with another exit reason than `normal`, `shutdown`, or `{shutdown,Term}`.";
pub(super) const TEMPORARY: &str = "OTP: A `temporary` child process is never restarted (even when the supervisor's restart \
    strategy is `rest_for_one` or `one_for_all` and a sibling's death causes the temporary process to be terminated).";
pub(super) const ONE_FOR_ONE: &str =
    "OTP: If one child process terminates and is to be restarted, only that child process is affected.";
pub(super) const ONE_FOR_ALL: &str = "OTP: If one child process terminates and is to be restarted, all other child \
    processes are terminated and then all child processes are restarted.";
pub(super) const REST_FOR_ONE: &str = "OTP: If one child process terminates and is to be restarted, the 'rest' of the child \
    processes (that is, the child processes after the terminated child process in the start order) are terminated. Then \
    the terminated child process and all child processes after it are restarted.";
pub(super) const INTENSITY: &str = "OTP: If more than `MaxR` number of restarts occur in the last `MaxT` seconds, the \
    supervisor terminates all the child processes and then itself.";
pub(super) const ESCALATION: &str = "OTP: When the supervisor terminates, then the next higher-level supervisor takes some \
    action. It either restarts the terminated supervisor or terminates itself.";
pub(super) const PRODUCT: &str = "OTP: Keep in mind that the total number of restarts (before the top level supervisor \
    gives up and terminates the application) will be the product of the intensity values of all the supervisors above the \
    failing child process.";
pub(super) const ORDER: &str = "OTP: The child processes are started in the order specified by this list, and terminated in \
    the reversed order.";
/// A comment of `supervisor.erl`. "Inside" includes the edge: `add_restart/3` keeps every `R >= Now - Period`.
pub(super) const WINDOW: &str =
    "OTP: All restarts accured inside the period amount of seconds are kept in the #state.restarts list.";

pub(super) const STOPPED: &str = "wapcd: Normal exits are `Exited(0)` and `Stopped`; what an operator stopped is never \
    restarted.";
pub(super) const ANSWERS_STOPPED: &str =
    "wapcd: `temporary` and a normal `transient` exit: the module answers its queue with `stopped`.";
pub(super) const CONCERNS_NOBODY: &str = "wapcd: A temporary's or a normal transient's exit concerns nobody else.";
pub(super) const LOAD_FAILED: &str =
    "wapcd: A load that failed is not retried by itself: alone the child fails at once, in a group the group gives up.";
pub(super) const HOST_CALL: &str = "wapcd: A deadline that passed while the guest waited in a host call or in another module \
    rebuilds the instance but does not count towards the intensity: a slow backend must not end a healthy module.";
pub(super) const WITH_BINDING: &str = "wapcd: A trigger that ends with the binding that it stands on is started again when that one \
    is there, and that counts towards no intensity.";
pub(super) const AT_ONCE: &str = "wapcd: The first exit after a successful call is rebuilt at once; back-off starts with \
    the second exit without a success in between.";
pub(super) const BACKOFF: &str = "wapcd: Exponential back-off with factor, cap and jitter.";
pub(super) const HEALTHY: &str = "wapcd: Back-off is reset after a healthy period.";
pub(super) const SUCCESS: &str = "wapcd: A successful call clears the history (`reset_on_success = true`): a crash loop \
    ends a module, not one caller's hostile payloads among other callers' good ones.";
pub(super) const PLAIN: &str = "wapcd: `false` gives OTP's plain count.";
pub(super) const FAILED: &str = "wapcd: Past its intensity a module is `failed` and stays until `wapcctl start`, a swap or \
    `retry_failed` gives it a new chance.";
pub(super) const GROUP_COUNTS: &str = "wapcd: A group counts all its members' restarts; its intensity and period hold \
    instead of theirs.";
pub(super) const CRITICAL: &str = "wapcd: A failing module never takes the daemon down unless it is in a group that the \
    configuration marks `critical = true`.";
pub(super) const PARKED: &str = "wapcd: What an operator stopped is neither stopped nor started with its group.";
pub(super) const ALONE: &str = "wapcd: Modules outside a group stand alone.";
pub(super) const ANEW: &str = "wapcd: A group that is restarted begins anew, as a supervisor that was restarted does.";
