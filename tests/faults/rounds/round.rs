//! How a round goes: customers order while faults strike; then the shop is held against all that was acknowledged.

use std::path::{Path, PathBuf};

use emshop_simulator::coverage::Coverage;
use emshop_simulator::model::Stock;

use super::downstream::{self, Books, Unknowing};
use super::live;
use super::node::Ended;
use super::plan::{Fault, Plan};
use super::site::Site;
use super::storage;
use crate::model::{Model, Wrong};
use crate::shop::Shop;

/// What is wrong after a round in the empty folder; nothing, in an emshop without faults. What happened is counted in any case.
pub async fn run(plan: Plan, folder: &Path, coverage: &mut Coverage) -> Vec<Wrong> {
    let mut round = Round::new(plan, folder, coverage).await;
    round.all().await.err().into_iter().flatten().collect()
}

struct Round<'a> {
    plan: Plan,
    folder: PathBuf,
    site: Site,
    shop: Shop,
    coverage: &'a mut Coverage,
}

/// What a shop makes of storage that was damaged.
enum Verdict {
    Refused(String),
    Right,
    Wrong(Vec<Wrong>),
}

impl<'a> Round<'a> {
    async fn new(mut plan: Plan, folder: &Path, coverage: &'a mut Coverage) -> Self {
        let mut site = Site::new(plan.layout, folder).await;
        if let Some(fault) = plan.live.iter().copied().find(|fault| fault.needs_disk()) {
            plan.live.retain(|other| *other == fault || !other.needs_disk());
            if let Err(reason) = site.give_disk(fault) {
                eprintln!("{} is left out: {reason}", fault.name());
                plan.live.retain(|other| *other != fault);
            }
        }
        let shop = site.shop();
        Self { plan, folder: folder.to_owned(), site, shop, coverage }
    }

    async fn all(&mut self) -> Result<(), Vec<Wrong>> {
        self.start().await?;
        let mut model = Model::from_seed(&self.shop, self.plan.seed).await;
        let result = self.faults(&mut model).await;
        self.coverage.count_many("ledger", "commands acknowledged", model.answered() as u64);
        self.coverage.count_many("ledger", "answers that left it open", model.unknown());
        result?;
        self.site.stop().await;
        Ok(())
    }

    async fn faults(&mut self, model: &mut Model) -> Result<(), Vec<Wrong>> {
        self.under_load(model, self.plan.live.clone()).await?;
        self.check(model).await?;
        if let Some(fault) = self.plan.stored {
            self.stored(model, fault).await?;
        }
        Ok(())
    }

    async fn under_load(&mut self, model: &mut Model, faults: Vec<Fault>) -> Result<(), Vec<Wrong>> {
        let load = model.load(&self.shop);
        for fault in faults {
            tokio::time::sleep(self.plan.moment()).await;
            self.site.ended().map_or(Ok(()), |ended| Err(idle(ended)))?;
            live::strike(fault, &mut self.site, &mut self.plan).await.map_err(idle)?;
            self.coverage.count("fault", fault.name());
        }
        tokio::time::sleep(self.plan.moment()).await;
        model.end(load).await;
        Ok(())
    }

    /// Damages what is stored, looks what the shop makes of it, and brings the right storage back.
    async fn stored(&mut self, model: &mut Model, fault: Fault) -> Result<(), Vec<Wrong>> {
        let (root, older, right) = (self.site.root(), self.folder.join("older"), self.folder.join("right"));
        if fault.needs_older() {
            self.site.kill();
            storage::replace(&root, &older);
            self.start().await?;
            self.under_load(model, Vec::new()).await?;
            self.check(model).await?;
        }
        self.site.kill();
        storage::replace(&root, &right);
        let damage = storage::damage(fault, &self.site, &older, &mut self.plan.random);
        eprintln!("seed {}: {damage}", self.plan.seed);
        let verdict = self.verdict(model, fault).await;
        self.site.kill();
        self.coverage.count("fault", fault.name());
        match verdict {
            Verdict::Refused(reason) => self.coverage.count("refusal", format!("{}: {}", fault.name(), kind_of(&reason))),
            Verdict::Right => self.coverage.count("refusal", format!("{}: none, and the books are right", fault.name())),
            Verdict::Wrong(wrongs) => return Err(wrongs),
        }
        storage::replace(&right, &root);
        self.start().await?;
        self.under_load(model, Vec::new()).await?;
        self.check(model).await
    }

    async fn verdict(&mut self, model: &Model, fault: Fault) -> Verdict {
        if let Err(ended) = self.site.start().await {
            return if ended.status.is_some() { Verdict::Refused(ended.reason) } else { Verdict::Wrong(idle(ended)) };
        }
        let server = self.site.server_url();
        let looking = async {
            let wrongs = model.wrongs(&self.shop, 0).await;
            if !wrongs.is_empty() {
                return Verdict::Wrong(wrongs);
            }
            match downstream::follow(&server, &books(model, &self.shop).await).await {
                Ok(()) => Verdict::Right,
                Err(Unknowing::Noticed(what)) if fault == Fault::FlippedBit => Verdict::Refused(format!("downstream: {what}")),
                Err(Unknowing::Noticed(what) | Unknowing::Mistaken(what)) => Verdict::Wrong(vec![of_downstream(&what)]),
            }
        };
        tokio::select! {
            verdict = looking => verdict,
            ended = self.site.until_ended() => Verdict::Refused(ended.reason),
        }
    }

    async fn start(&mut self) -> Result<(), Vec<Wrong>> {
        self.site.start().await.map_err(idle)
    }

    /// Holds the shop against the ledger, and a downstream service against the shop.
    async fn check(&self, model: &mut Model) -> Result<(), Vec<Wrong>> {
        model.find_out(&self.shop).await;
        let mut wrongs = model.wrongs(&self.shop, 0).await;
        let books = books(model, &self.shop).await;
        if let Err(Unknowing::Noticed(what) | Unknowing::Mistaken(what)) =
            downstream::follow(&self.site.server_url(), &books).await
        {
            wrongs.push(of_downstream(&what));
        }
        if wrongs.is_empty() { Ok(()) } else { Err(wrongs) }
    }
}

fn idle(Ended { name, status, reason }: Ended) -> Vec<Wrong> {
    vec![Wrong::Other(format!("{name} does not go on although nothing is lost: {status:?}, {reason}"))]
}

fn of_downstream(what: &str) -> Wrong {
    Wrong::Other(format!("downstream: {what}"))
}

/// A reason without what differs from round to round.
fn kind_of(reason: &str) -> String {
    let kind = |word: &str| {
        let (bare, stop) = word.split_at(word.trim_end_matches([',', '.', ':', ';']).len());
        let differs = bare.starts_with('/') || bare.chars().any(|char| char.is_ascii_digit()) && !bare.starts_with("EMSHOP_");
        format!("{}{stop}", if differs { "…" } else { bare })
    };
    reason.split_whitespace().map(kind).collect::<Vec<_>>().join(" ")
}

async fn books(model: &Model, shop: &Shop) -> Books {
    let orders = shop.orders(model.order_ids()).await.into_iter().map(|order| (order.order_id.clone(), order.status())).collect();
    let stock = shop.stocks(model.goods_ids()).await.into_iter().map(|level| {
        let stock = Stock { available: level.available, reserved: level.reserved, sold: level.sold };
        (level.goods_id, stock)
    });
    Books { orders, stock: stock.collect() }
}
