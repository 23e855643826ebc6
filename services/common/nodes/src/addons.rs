//! What is known of an addon before it runs: names that other resources refer to.

/// PostgreSQL.
pub mod postgresql {
    /// The superuser of every PostgreSQL addon.
    pub const USER: &str = "shipway";

    /// The database of the addon with that slug.
    #[must_use]
    pub fn database(slug: &str) -> String {
        slug.replace('-', "_")
    }

    /// What stands before and after the password in the address that programs connect to (`POSTGRES_URI`): with
    /// a secret between them it is a text that the executor finishes.
    #[must_use]
    pub fn connection_uri_around(slug: &str, port: u16) -> (String, String) {
        (format!("postgresql://{USER}:"), format!("@127.0.0.1:{port}/{}", database(slug)))
    }

    /// The address that programs connect to. The password must be one that needs no escape in a URI: letters,
    /// digits, `-`, `_`, `.`, `~`.
    #[must_use]
    pub fn connection_uri(slug: &str, port: u16, password: &str) -> String {
        let (before, after) = connection_uri_around(slug, port);
        format!("{before}{password}{after}")
    }

    /// The credentials without a secret in them, by their names; `PASSWORD` and `POSTGRES_URI` have one.
    #[must_use]
    pub fn public_credentials(slug: &str, port: u16) -> [(&'static str, String); 4] {
        [
            ("HOST", "127.0.0.1".to_owned()),
            ("PORT", port.to_string()),
            ("USERNAME", USER.to_owned()),
            ("DATABASE", database(slug)),
        ]
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn the_address_names_the_database_of_the_slug() {
            let uri = super::connection_uri("shop-db", 5433, "pw");
            assert_eq!(uri, "postgresql://shipway:pw@127.0.0.1:5433/shop_db");
        }
    }
}
