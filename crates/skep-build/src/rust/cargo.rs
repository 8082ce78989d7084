//! Cargo: where it is, and what it says of a package.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use super::Rustc;
use crate::{
    Error, Result,
    clang::on_path,
    hint::{Missing, install},
};

/// The crate that makes a package a kernel side.
pub(super) const LIBRARY: &str = "skep-ebpf";

/// A cargo that calls this rustc.
#[derive(Debug)]
pub(super) struct Cargo<'a> {
    path: PathBuf,
    rustc: &'a Rustc,
}

impl<'a> Cargo<'a> {
    /// The one that runs this process, as a build script or by `cargo run`; else the one that came
    /// with the compiler, else the one on `PATH`.
    pub(super) fn find(rustc: &'a Rustc) -> Result<Self> {
        let running = env::var_os("CARGO").filter(|path| !path.is_empty());
        let path = match running {
            Some(path) => PathBuf::from(path),
            None => {
                let beside = rustc.sysroot().join("bin/cargo");
                let there = beside.is_file();
                if there {
                    beside
                } else {
                    on_path(Path::new("cargo"))
                }
            }
        };
        if path.components().count() < 2 {
            return Err(Error::CargoNotFound {
                remedy: install(Missing::Cargo),
            });
        }
        Ok(Self { path, rustc })
    }

    /// The one at this path.
    pub(super) fn with(path: &Path, rustc: &'a Rustc) -> Self {
        Self {
            path: path.to_owned(),
            rustc,
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Cargo ready to be called for BPF: with this compiler, and with nothing of what a build of this
    /// machine's own crates sets, as for the build script that this may be. What is not stable yet is
    /// allowed to all crates, macros and build scripts of dependencies too, as by a nightly compiler.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .env("RUSTC", self.rustc.path())
            .env("RUSTC_BOOTSTRAP", "1")
            .stdin(Stdio::null());
        for name in [
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_BUILD_TARGET",
        ] {
            command.env_remove(name);
        }
        command
    }

    /// What is at `path`: a folder with a Cargo.toml, or that file.
    pub(super) fn package(&self, path: &Path) -> Result<Package> {
        let manifest = match path.is_dir() {
            true => path.join("Cargo.toml"),
            false => path.to_owned(),
        };
        let mut command = self.command();
        command
            .args(["metadata", "--no-deps", "--format-version=1"])
            .arg("--manifest-path")
            .arg(&manifest);
        let output = command.output().map_err(|error| Error::Run {
            path: self.path.clone(),
            error,
        })?;
        let unusable = |reason: String| Error::Package {
            manifest: manifest.clone(),
            reason,
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim_end();
            return Err(unusable(
                said.strip_prefix("error: ").unwrap_or(said).to_owned(),
            ));
        }
        let manifest = manifest.canonicalize().map_err(|error| Error::Source {
            path: manifest.clone(),
            error,
        })?;
        let metadata = serde_json::from_slice(&output.stdout)
            .map_err(|error| unusable(format!("cargo metadata: {error}")))?;
        Package::of(&metadata, &manifest).map_err(unusable)
    }
}

/// A package that is a kernel side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) manifest: PathBuf,
    /// Its workspace's.
    pub(super) root: PathBuf,
    pub(super) target_folder: PathBuf,
    library: Option<String>,
    binaries: Vec<String>,
}

/// What of a package becomes an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) name: String,
    pub(super) is_library: bool,
}

impl Package {
    /// The package of this manifest; where that has no programs but is a workspace's, the one of its
    /// members that has.
    fn of(metadata: &Value, manifest: &Path) -> Result<Self, String> {
        let root = PathBuf::from(text(metadata, "workspace_root")?);
        let members: Vec<&Value> = list(metadata, "packages").collect();
        let is_this = |package: &&&Value| {
            let path = text(package, "manifest_path").map(Path::new);
            path.is_ok_and(|path| path.canonicalize().is_ok_and(|path| path == manifest))
        };
        let depends = |package: &Value, on: &str| {
            let mut all = list(package, "dependencies");
            all.any(|dependency| text(dependency, "name") == Ok(on))
        };
        let this = members.iter().find(is_this);
        let found = match this {
            Some(package) if depends(package, LIBRARY) => package,
            _ if manifest.parent() == root.canonicalize().ok().as_deref() => {
                // Crates of shared types use the library as well: they are what others depend on.
                let has = |package: &&&Value| {
                    let name = text(package, "name").unwrap_or_default();
                    depends(package, LIBRARY)
                        && !members
                            .iter()
                            .any(|other| depends(other, LIBRARY) && depends(other, name))
                };
                let mut kernel_sides = members.iter().filter(has);
                match (kernel_sides.next(), kernel_sides.next()) {
                    (Some(one), None) => one,
                    (None, _) => {
                        return Err(format!("no package here depends on {LIBRARY}"));
                    }
                    (Some(one), Some(other)) => {
                        let name = |package| text(package, "name").unwrap_or_default();
                        return Err(format!(
                            "`{}` and `{}` both depend on {LIBRARY}: name the folder of one",
                            name(one),
                            name(other)
                        ));
                    }
                }
            }
            Some(package) => {
                let name = text(package, "name")?;
                return Err(format!(
                    "`{name}` does not depend on {LIBRARY}: name the package of the kernel side"
                ));
            }
            None => return Err("cargo says nothing of a package there".to_owned()),
        };
        let of_kind = |kind: &'static str| {
            list(found, "targets").filter_map(move |target| {
                let mut kinds = list(target, "kind");
                let fits = kinds.any(|name| name.as_str() == Some(kind));
                fits.then(|| text(target, "name").ok().map(str::to_owned))?
            })
        };
        let libraries = ["lib", "rlib", "cdylib", "staticlib"];
        let mut libraries = libraries.into_iter().flat_map(of_kind);
        Ok(Self {
            name: text(found, "name")?.to_owned(),
            manifest: text(found, "manifest_path")?.into(),
            root,
            target_folder: text(metadata, "target_directory")?.into(),
            library: libraries.next(),
            binaries: of_kind("bin").collect(),
        })
    }

    /// What becomes an object: the binary of this name, or the only one, or else the library.
    pub(super) fn target(&self, named: Option<&str>) -> Result<Target, String> {
        let binary = |name: &String| Target {
            name: name.clone(),
            is_library: false,
        };
        let names = || self.binaries.join("`, `");
        match (named, self.binaries.as_slice(), &self.library) {
            (Some(named), all, _) => match all.iter().find(|name| *name == named) {
                Some(name) => Ok(binary(name)),
                None if all.is_empty() => Err(format!("`{}` has no binaries", self.name)),
                None => Err(format!(
                    "`{}` has no binary `{named}`, but `{}`",
                    self.name,
                    names()
                )),
            },
            (None, [name], _) => Ok(binary(name)),
            (None, [], Some(library)) => Ok(Target {
                name: library.clone(),
                is_library: true,
            }),
            (None, [], None) => Err(format!(
                "`{}` has neither a library nor a binary",
                self.name
            )),
            (None, [..], _) => Err(format!(
                "each binary of `{}` is an object of its own: name one of `{}`",
                self.name,
                names()
            )),
        }
    }
}

fn text<'a>(value: &'a Value, name: &str) -> Result<&'a str, String> {
    let found = value.get(name).and_then(Value::as_str);
    found.ok_or_else(|| format!("cargo metadata has no {name}"))
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    let found = value.get(name).and_then(Value::as_array);
    found.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(
        folder: &Path,
        name: &str,
        dependencies: &[&str],
        targets: &[(&str, &str)],
    ) -> Value {
        let dependencies: Vec<_> = dependencies
            .iter()
            .map(|name| json!({"name": name}))
            .collect();
        let targets: Vec<_> = targets
            .iter()
            .map(|(kind, name)| json!({"kind": [kind], "name": name}))
            .collect();
        let manifest = folder.join(name).join("Cargo.toml");
        std::fs::create_dir_all(folder.join(name)).unwrap();
        std::fs::write(&manifest, "").unwrap();
        json!({
            "name": name, "manifest_path": manifest, "dependencies": dependencies,
            "targets": targets,
        })
    }

    fn workspace(folder: &Path, packages: &[Value]) -> Value {
        let target = folder.join("target");
        json!({"workspace_root": folder, "target_directory": target, "packages": packages})
    }

    #[test]
    fn kernel_sides_are_found() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let all = [
            package(&folder, "app", &["app-common"], &[("bin", "app")]),
            package(
                &folder,
                "app-common",
                &["skep-ebpf"],
                &[("lib", "app_common")],
            ),
            package(
                &folder,
                "app-ebpf",
                &["skep-ebpf", "app-common"],
                &[("lib", "app_ebpf")],
            ),
        ];
        let metadata = workspace(&folder, &all);
        let of = |path: &str| Package::of(&metadata, &folder.join(path).join("Cargo.toml"));
        let named = |path: &str| of(path).map(|package| package.name);
        assert_eq!(named("").as_deref(), Ok("app-ebpf"));
        assert_eq!(named("app-ebpf").as_deref(), Ok("app-ebpf"));
        assert_eq!(
            named("app-common").as_deref(),
            Ok("app-common"),
            "if one says so"
        );
        assert_eq!(
            named("app").unwrap_err(),
            "`app` does not depend on skep-ebpf: name the package of the kernel side"
        );
        let library = Target {
            name: "app_ebpf".into(),
            is_library: true,
        };
        assert_eq!(of("").unwrap().target(None), Ok(library));
        assert_eq!(
            of("").unwrap().target(Some("x")).unwrap_err(),
            "`app-ebpf` has no binaries"
        );

        let two = [
            package(&folder, "a", &["skep-ebpf"], &[]),
            package(&folder, "b", &["skep-ebpf"], &[]),
        ];
        let root = folder.join("Cargo.toml");
        assert_eq!(
            Package::of(&workspace(&folder, &two), &root).unwrap_err(),
            "`a` and `b` both depend on skep-ebpf: name the folder of one"
        );
        assert_eq!(
            Package::of(&workspace(&folder, &[]), &root).unwrap_err(),
            "no package here depends on skep-ebpf"
        );
        assert!(Package::of(&json!({}), &root).is_err());
    }

    #[test]
    fn binaries_are_objects() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let of = |targets: &[(&str, &str)]| {
            let all = [package(&folder, "x", &["skep-ebpf"], targets)];
            Package::of(&workspace(&folder, &all), &folder.join("x/Cargo.toml")).unwrap()
        };
        let binary = |name: &str| Target {
            name: name.into(),
            is_library: false,
        };
        assert_eq!(
            of(&[("lib", "x"), ("bin", "y")]).target(None),
            Ok(binary("y"))
        );
        let two = of(&[("bin", "y"), ("bin", "z")]);
        assert_eq!(two.target(Some("z")), Ok(binary("z")));
        assert_eq!(
            two.target(Some("x")).unwrap_err(),
            "`x` has no binary `x`, but `y`, `z`"
        );
        assert_eq!(
            two.target(None).unwrap_err(),
            "each binary of `x` is an object of its own: name one of `y`, `z`"
        );
        assert!(of(&[]).target(None).is_err());
    }
}
