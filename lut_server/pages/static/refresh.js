// Replaces every part marked data-refresh by its newest version, while the page is visible and the part has no focus.
const EVERY_MS = 5000;

async function refresh() {
  const parts = [...document.querySelectorAll("[data-refresh]")];
  if (document.visibilityState === "visible" && parts.length) {
    try {
      const answer = await fetch(location.origin + location.pathname + location.search);
      if (answer.ok) {
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        for (const part of parts) {
          const fresh = page.getElementById(part.id);
          if (fresh && !part.contains(document.activeElement)) part.replaceWith(fresh);
        }
      }
    } catch {
      // The server is away; the next round tries again.
    }
  }
  setTimeout(refresh, EVERY_MS);
}

setTimeout(refresh, EVERY_MS);
