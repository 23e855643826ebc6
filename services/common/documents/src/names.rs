//! Names of resources, and the ids that come from them.

use shipway_events::project::ResourceKind;

/// The id of a name in documents: lower case, everything but letters and digits one hyphen.
#[must_use]
pub fn slug(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// The fewest and most characters of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// The fewest.
    pub min: usize,
    /// The most.
    pub max: usize,
}

/// The lengths of a project's name.
pub const PROJECT: Length = Length { min: 3, max: 39 };

/// The lengths of a pipeline's name.
pub const PIPELINE: Length = Length { min: 3, max: 100 };

/// The lengths of a stage's name.
pub const STAGE: Length = Length { min: 3, max: 20 };

/// The lengths of a resource's name.
#[must_use]
pub const fn length_of(kind: ResourceKind) -> Length {
    match kind {
        ResourceKind::BuildService | ResourceKind::DeploymentService | ResourceKind::CombinedService => {
            Length { min: 3, max: 54 }
        }
        ResourceKind::ManualJob | ResourceKind::CronJob => Length { min: 3, max: 52 },
        ResourceKind::Addon => Length { min: 3, max: 39 },
        ResourceKind::SecretGroup => Length { min: 3, max: 100 },
    }
}

/// What a name of that length is like.
#[must_use]
pub fn example(length: Length) -> String {
    format!(
        "such as `shop-api 2`: letters and digits, single hyphens or spaces between them, {} to {} in all",
        length.min, length.max
    )
}

/// Checks a name: its length, and letters, digits, single spaces and hyphens between them.
///
/// # Errors
/// What is wrong with it, as the end of a sentence that starts with the name.
pub fn check(name: &str, length: Length) -> Result<(), String> {
    let count = name.chars().count();
    if count < length.min || count > length.max {
        return Err(format!("has {count} characters; {} to {} are allowed", length.min, length.max));
    }
    let mut previous = ' ';
    for c in name.chars() {
        let separator = matches!(c, '-' | ' ');
        if !separator && !c.is_ascii_alphanumeric() {
            return Err(format!(
                "holds `{c}`; letters, digits, and single hyphens or spaces between them are allowed"
            ));
        }
        if separator && matches!(previous, '-' | ' ') {
            return Err("has a hyphen or space that does not stand between letters or digits".into());
        }
        previous = c;
    }
    if matches!(previous, '-' | ' ') {
        return Err("ends with a hyphen or space".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs() {
        for (name, expected) in [
            ("Shop", "shop"),
            ("My App 2", "my-app-2"),
            (" a -- b ", "a-b"),
            ("ÄB", "b"),
            ("", ""),
            ("a_b", "a-b"),
        ] {
            assert_eq!(slug(name), expected);
        }
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(check("api-dev 2", PROJECT), Ok(()));
        assert!(check("ab", PROJECT).unwrap_err().contains("2 characters; 3 to 39"));
        assert!(check("a_b", PROJECT).unwrap_err().contains("holds `_`"));
        assert!(check("a--b", PROJECT).unwrap_err().contains("does not stand between"));
        assert!(check("-ab", PROJECT).unwrap_err().contains("does not stand between"));
        assert!(check("ab-", PROJECT).unwrap_err().contains("ends with"));
        assert!(check(&"x".repeat(54), length_of(ResourceKind::BuildService)).is_ok());
        assert!(check(&"x".repeat(53), length_of(ResourceKind::ManualJob)).is_err());
    }
}
