// A box that scrolls is a stop of Tab, so that the keyboard scrolls it; one that has nothing to scroll is none.
function mark() {
  for (const box of document.querySelectorAll(".scroll")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
}

const main = document.getElementById("main");
new ResizeObserver(mark).observe(main);
new MutationObserver(mark).observe(main, { childList: true, subtree: true });
addEventListener("load", mark); // pictures have their size now
