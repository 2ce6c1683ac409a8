// Niceties: everything is there without them.
(function () {
  "use strict";
  var root = document.documentElement;
  var button = document.getElementById("theme");
  button.hidden = false;
  button.addEventListener("click", function () {
    var dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : window.matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
  });

  // What a mark stands for, beside the pointer or the finger.
  var tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  document.body.appendChild(tip);
  document.addEventListener("pointerover", function (event) {
    var of = event.target.closest("[data-tip]");
    tip.hidden = !of;
    if (!of) return;
    tip.textContent = of.dataset.tip;
    var left = Math.min(event.clientX + 12, window.innerWidth - tip.offsetWidth - 8);
    tip.style.left = Math.max(8, left) + "px";
    tip.style.top = Math.max(8, event.clientY - tip.offsetHeight - 10) + "px";
  });

  // On paper everything is unfolded.
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (of) { of.open = true; });
  });
})();
