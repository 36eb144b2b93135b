// Buttons that change something: cancel a job, hide a device. The server asks who may; a page shows no button to others.
async function send(method, path, body) {
  const options = { method, headers: body === undefined ? {} : { "Content-Type": "application/json" } };
  if (body !== undefined) options.body = JSON.stringify(body);
  // Not by location.href: an address with a name and a password in it cannot be fetched.
  const answer = await fetch(new URL(path, location.origin + location.pathname), options);
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({ detail: `the server answered ${answer.status}` }));
    throw new Error(problem.detail);
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-cancel], button[data-hide]");
  if (!button) return;
  const { cancel, hide, hidden } = button.dataset;
  if (!window.confirm(`${button.getAttribute("aria-label") || button.textContent}?`)) return;
  button.disabled = true;
  try {
    await (cancel ? send("DELETE", cancel) : send("PUT", hide, { hidden: hidden === "true" }));
    location.reload();
  } catch (error) {
    button.disabled = false;
    window.alert(error.message);
  }
});
