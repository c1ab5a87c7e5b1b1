//! What a run of these cases leaves behind. Runs last, and whatever else was chosen.

use tokio::time::Instant;

use crate::case::{Case, Checked, Level, failed};
use crate::context::Ctx;

pub(crate) const CASES: &[Case] = &[Case {
    id: "cleanup.nothing-left",
    level: Level::Required,
    checks: "After all deletes of a run, none of its sandboxes is listed.",
    why: "What is left costs, and a gateway that resyncs finds what it never made.",
    mend: "See which cases of the delete failed, and remove what is listed by hand.",
    run: |ctx| Box::pin(nothing_left(ctx)),
}];

async fn nothing_left(ctx: &Ctx) -> Checked {
    let deadline = Instant::now() + ctx.timeout();
    loop {
        let listed = ctx.list().await?;
        let left: Vec<&str> =
            listed.iter().map(|sandbox| sandbox.id.as_str()).filter(|id| ctx.session.is_ours(id)).collect();
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            let some: Vec<&str> = left.iter().copied().take(10).collect();
            return failed(format!("{} sandboxes of this run are left: {}", left.len(), some.join(", ")));
        }
        tokio::time::sleep(ctx.quiet() / 10).await;
    }
}
