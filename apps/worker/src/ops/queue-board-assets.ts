/** What Bull Board's page lacks for those who hear it: axe-core names it. */
export const AMENDED_CSS = `
kbd { display: none !important; }
#board-title { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
`;

export const AMENDED_JS = `
"use strict";
const title = document.createElement("h1");
title.id = "board-title";
title.textContent = "Queues of the Calendly worker";
function amend() {
  const main = document.querySelector("main") ?? document.getElementById("root");
  if (main !== null && document.getElementById("board-title") === null) main.prepend(title);
  for (const image of document.querySelectorAll("img[alt]:not([alt=''])")) image.alt = "";
  for (const icon of document.querySelectorAll("svg[role=img]:not([aria-label])")) {
    icon.removeAttribute("role");
    icon.setAttribute("aria-hidden", "true");
  }
  for (const button of document.querySelectorAll("button")) {
    const text = button.innerText.trim();
    const label = button.getAttribute("aria-label");
    if (text !== "" && label !== null && !label.includes(text)) button.setAttribute("aria-label", text + ": " + label);
    if (text !== "" || label !== null || button.title !== "") continue;
    button.setAttribute("aria-label", button.getAttribute("aria-haspopup") === "menu" ? "Actions" : "Show or hide the side");
  }
}
new MutationObserver(amend).observe(document.documentElement, { childList: true, subtree: true, attributeFilter: ["aria-label", "alt", "role"] });
amend();
`;
