//! The paths of triggers: what they are, and what operators ask of them.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{
    daemon::Action,
    problem::Problem,
    routes::{Api, bounded, json, named, nothing_at},
};

/// Where the paths of triggers begin.
const TRIGGERS: &str = "/v1/triggers/";

pub(super) async fn triggers(api: Data<Api>) -> Result<HttpResponse, Problem> {
    let status = bounded("the list of triggers", api.settings.waits.answer, api.daemon.status()).await??;
    json(&status.summary().triggers)
}

pub(super) async fn trigger(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (name, _) = target(&request)?;
    let what = format!("the status of trigger `{name}`");
    json(&bounded(&what, api.settings.waits.answer, api.daemon.trigger(name)).await??)
}

pub(super) async fn act(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (name, action) = target(&request)?;
    let action = Action::parse(action).ok_or_else(|| nothing_at(&request))?;
    let what = format!("{action} trigger `{name}`");
    let wait = api.settings.waits.action(api.daemon.bounds());
    json(&bounded(&what, wait, api.daemon.act_on_trigger(name, action)).await??)
}

pub(super) async fn run(api: Data<Api>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let (name, _) = target(&request)?;
    let what = format!("run trigger `{name}`");
    json(&bounded(&what, api.settings.waits.answer, api.daemon.run_trigger(name)).await??)
}

/// The trigger that the path names, and what follows after it.
fn target(request: &HttpRequest) -> Result<(String, &str), Problem> {
    named(request, TRIGGERS, "trigger's name")
}
