// Copies the Node that runs this, and what it needs of the system, into an empty directory: all that an image has beside
// the app.
//
//   node scripts/image-root.mjs <directory>
import { chmodSync, cpSync, mkdirSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const [root] = process.argv.slice(2);
if (!root) throw new Error("usage: node scripts/image-root.mjs <directory>");

function copy(from, to = from) {
  mkdirSync(dirname(join(root, to)), { recursive: true });
  // What a link leads to, under the link's name: that is the name by which it is looked for.
  cpSync(realpathSync(from), join(root, to));
}

copy(process.execPath, "/usr/local/bin/node");
// Those that are loaded, with the loader among them. What the C library would load later, to look up names, is part of it
// since 2.34.
for (const file of process.report.getReport().sharedObjects.filter((name) => name.startsWith("/"))) copy(file);

const etc = join(root, "etc");
mkdirSync(etc, { recursive: true });
writeFileSync(join(etc, "passwd"), "root:x:0:0:root:/:/none\nnode:x:1000:1000:node:/:/none\n");
writeFileSync(join(etc, "group"), "root:x:0:\nnode:x:1000:\n");
writeFileSync(join(etc, "nsswitch.conf"), "hosts: files dns\n");

const tmp = join(root, "tmp");
mkdirSync(tmp, { recursive: true });
chmodSync(tmp, 0o1777);
