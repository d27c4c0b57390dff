//! How a run reached Kafka and Redis, for the manifest: runs over TLS and over plain text are not the same experiment. No
//! secret is in it, and no name of a user.

use serde_json::{Value, json};

use super::{Endpoints, KafkaAccess, Security};

impl Endpoints {
    /// Protocol, mechanism and trust towards both.
    pub fn security(&self) -> Value {
        let redis = self.redis().ok().map(|seeds| {
            let user = if seeds.names_user() { "named" } else { "default" };
            json!({ "tls": seeds.is_tls(), "user": user })
        });
        json!({ "kafka": self.kafka.security_named(), "redis": redis })
    }
}

impl KafkaAccess {
    fn security_named(&self) -> Value {
        let (protocol, mechanism, ca_file) = match &self.security {
            Security::Plaintext => ("PLAINTEXT", None, false),
            Security::Tls { ca_file } => ("SSL", None, ca_file.is_some()),
            Security::SaslScram { mechanism, tls, ca_file, .. } => {
                (if *tls { "SASL_SSL" } else { "SASL_PLAINTEXT" }, Some(mechanism.name()), ca_file.is_some())
            }
        };
        json!({ "protocol": protocol, "mechanism": mechanism, "ca_file": ca_file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::access::tests::scram;

    #[test]
    fn protocol_and_mechanism_are_named_and_no_secret() {
        let redis_url = "rediss://me:s3cret@h:1".to_owned();
        let security = Endpoints { kafka: scram(), redis_url }.security();
        let kafka = json!({ "protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-512", "ca_file": true });
        assert_eq!(security, json!({ "kafka": kafka, "redis": { "tls": true, "user": "named" } }));
        assert!(!security.to_string().contains("s3cret") && !security.to_string().contains("me\""));
        let plain =
            Endpoints { kafka: KafkaAccess::plaintext(vec![]), redis_url: "redis://:x@h".to_owned() }.security();
        let kafka = json!({ "protocol": "PLAINTEXT", "mechanism": null, "ca_file": false });
        assert_eq!(plain, json!({ "kafka": kafka, "redis": { "tls": false, "user": "default" } }));
    }
}
