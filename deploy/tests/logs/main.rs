//! What `deploy/logs` ships the lines of emshop with: a real rsyslogd brings those of a real shop to a stand-in for Elasticsearch, and
//! whatever else is there speaks of the same fields.

mod elasticsearch;
mod fields;
mod rsyslog;
