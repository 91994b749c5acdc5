//! The table of events in docs/EVENTS.md.

use emshop_proto::events::EventType;
use emshop_proto::subjects;
use emshop_testing::docs::{assert_section, table};
use emshop_testing::read;
use emshop_testing::source::Source;

#[test]
fn the_table_is_fresh() {
    let listed = Source::new(&read("proto/src/events.rs")).table("types");
    assert_eq!(listed.len(), EventType::ALL.len(), "every type is found in the source");
    let mut rows: Vec<_> = listed
        .into_iter()
        .map(|(texts, when)| {
            let [name] = &texts[..] else { panic!("one name a type: {texts:?}") };
            let subject = subjects::events(name);
            let listed = EventType::ALL.iter().find(|listed| listed.name() == name).expect("a type of this build");
            vec![format!("`{subject}`"), format!("`{}`", subjects::stream_of(*listed)), when]
        })
        .collect();
    // By entity, in the order in which entities have their first type.
    let entities: Vec<_> = EventType::ALL.iter().map(|listed| entity(listed.name()).to_owned()).collect();
    let place = |row: &Vec<String>| {
        let subject = row[0].trim_matches('`').trim_start_matches("emshop.event.");
        entities.iter().position(|listed| listed == entity(subject))
    };
    rows.sort_by_key(place);
    assert_section("docs/EVENTS.md", "events", &table(&["subject", "stream", "when"], rows));
}

fn entity(name: &str) -> &str {
    name.split('.').next().expect("a name begins with its entity")
}
