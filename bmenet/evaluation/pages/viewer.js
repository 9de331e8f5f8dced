"use strict";
// The viewer: two niivue canvases on one grid, in step with one another, and the controls around them.
(() => {
  const root = document.getElementById("viewer");
  const message = document.getElementById("viewer-message");
  const stage = root.querySelector(".stage");
  const view = JSON.parse(document.getElementById("view-data").textContent);
  const SIDES = ["left", "right"];
  const MODES = ["side", "swipe", "single"];
  const PLANES = { multiplanar: 3, axial: 0, coronal: 1, sagittal: 2 }; // niivue's slice types
  const COLOURS = { image: "gray", difference: "bmenet-difference", uncertainty: "magma" };
  // Blue, black, orange: told apart by every kind of colour vision, and black at 0 leaves the eye on what differs.
  const DIVERGING = {
    R: [127, 20, 0, 168, 255], G: [208, 80, 0, 80, 197], B: [255, 155, 0, 10, 107],
    A: [255, 255, 255, 255, 255], I: [0, 64, 128, 192, 255],
  };

  if (!document.createElement("canvas").getContext("webgl2")) {
    root.classList.add("unavailable");
    message.textContent =
      "The viewer needs WebGL 2, which this browser does not offer (switched off, or no graphics). "
      + "The still pictures and the tables below show the same result.";
    return;
  }

  const images = new Map(); // number of a layer -> niivue image, unpacked when it is first chosen
  const panes = {};
  const windows = {}; // kind -> [low, high]
  let redraw = 0;

  function firstWindows() {
    for (const [kind, scale] of Object.entries(view.scales)) {
      windows[kind] = kind === "difference" ? [-scale.shown, scale.shown] : [0, scale.shown];
    }
  }

  function written(value, kind) {
    const digits = Math.min(8, Math.max(0, Math.ceil(-Math.log10(view.scales[kind].step))));
    const text = value.toFixed(digits);
    return (kind === "difference" && value > 0 ? "+" : "") + (Number(text) === 0 ? (0).toFixed(digits) : text);
  }

  async function imageOf(number) {
    if (!images.has(number)) {
      const kind = view.layers[number].kind;
      const image = await niivue.NVImage.loadFromBase64({
        base64: document.getElementById(`volume-${number}`).textContent,
        name: `${number}.nii.gz`, colormap: COLOURS[kind], cal_min: windows[kind][0], cal_max: windows[kind][1],
      });
      images.set(number, image);
    }
    return images.get(number);
  }

  async function show(side, number) {
    const pane = panes[side];
    pane.wanted = number;
    const image = await imageOf(number);
    if (pane.wanted !== number) return; // another one was chosen while this one was unpacked
    pane.number = number;
    [image.cal_min, image.cal_max] = windows[view.layers[number].kind];
    pane.niivue.volumes = [image];
    pane.niivue.setVolume(image, 0);
    pane.niivue.createOnLocationChange();
    paintLegend(side);
    paintWindows();
  }

  function paintLegend(side) {
    const { kind, unit } = view.layers[panes[side].number];
    const legend = root.querySelector(`.readings [data-side="${side}"] .legend`);
    const [low, high] = windows[kind];
    legend.querySelector(".low").textContent = written(low, kind);
    legend.querySelector(".high").textContent = written(high, kind);
    legend.querySelector(".unit").textContent = unit;
    const pixels = new Uint8ClampedArray(niivue.cmapper.colormap(COLOURS[kind]));
    for (let index = 3; index < pixels.length; index += 4) pixels[index] = 255;
    legend.querySelector(".ramp").getContext("2d").putImageData(new ImageData(pixels, 256, 1), 0, 0);
  }

  function paintWindows() {
    const kinds = SIDES.map((side) => panes[side].number).filter((number) => number !== undefined)
      .map((number) => view.layers[number].kind);
    for (const field of root.querySelectorAll("fieldset[data-kind]")) {
      const kind = field.dataset.kind;
      field.hidden = !kinds.includes(kind);
      if (!(kind in windows)) continue;
      field.querySelectorAll("input").forEach((input) => {
        input.value = windows[kind][input.id.endsWith("low") ? 0 : 1];
        input.nextElementSibling.value = written(Number(input.value), kind);
      });
    }
  }

  function setWindow(kind, low, high) {
    const { stored, step } = view.scales[kind];
    const top = Math.max(high, (kind === "difference" ? 0 : low) + step);
    windows[kind] = kind === "difference" ? [-top, top] : [Math.min(low, stored - step), top];
    for (const [number, image] of images) {
      if (view.layers[number].kind === kind) [image.cal_min, image.cal_max] = windows[kind];
    }
    paintWindows();
    SIDES.filter((side) => panes[side].number !== undefined).forEach(paintLegend);
    // A slider moves faster than volumes can be coloured again.
    cancelAnimationFrame(redraw);
    redraw = requestAnimationFrame(() => SIDES.forEach((side) => panes[side].niivue.updateGLVolume()));
  }

  function tellPlace(side, location) {
    const pane = panes[side];
    if (pane.number === undefined || !location.values.length) return;
    const { kind } = view.layers[pane.number];
    const { stored, step } = view.scales[kind];
    const value = location.values[0].value;
    const beyond = Math.abs(value) > stored - step / 2 ? (value < 0 ? "≤ " : "≥ ") : "";
    document.getElementById(`${side}-value`).value = `${beyond}${written(value, kind)}`;
    const [x, y, z] = location.mm;
    const along = (mm, plus, minus) => `${Math.abs(mm).toFixed(1)} ${mm < 0 ? minus : plus}`;
    document.getElementById("place").value =
      `Crosshair at ${along(x, "R", "L")}, ${along(y, "A", "P")}, ${along(z, "S", "I")} (mm)`;
  }

  function follow(lead) {
    for (const side of SIDES) {
      const pane = panes[side].niivue;
      if (pane === lead) continue;
      pane.scene.crosshairPos = [...lead.scene.crosshairPos];
      pane.scene.pan2Dxyzmm = [...lead.scene.pan2Dxyzmm];
      pane.drawScene();
      pane.createOnLocationChange();
    }
  }

  function leading() {
    const side = SIDES.find((name) => panes[name].niivue.canvas === document.activeElement);
    return panes[side ?? "left"].niivue;
  }

  function step(x, y, z) {
    const lead = leading();
    lead.moveCrosshairInVox(x, y, z);
    follow(lead);
  }

  function resetView() {
    const lead = panes.left.niivue;
    lead.scene.pan2Dxyzmm = [0, 0, 0, 1];
    lead.scene.crosshairPos = lead.mm2frac(view.centre_mm);
    lead.drawScene();
    lead.createOnLocationChange();
    follow(lead);
  }

  function press(selector, chosen) {
    root.querySelectorAll(selector).forEach((button) => button.setAttribute("aria-pressed", String(button === chosen)));
  }

  function setMode(mode, front = "left") {
    stage.dataset.mode = mode;
    stage.dataset.front = front;
    root.dataset.hidden = mode !== "single" ? "" : front === "left" ? "right" : "left";
    // Half the width has room for two planes in a row, the whole width for three.
    const { GRID, AUTO } = niivue.MULTIPLANAR_TYPE;
    SIDES.forEach((side) => panes[side].niivue.setMultiplanarLayout(mode === "side" ? GRID : AUTO));
    press("[data-mode]:is(button)", root.querySelector(`button[data-mode="${mode}"]`));
  }

  function setPlane(plane) {
    SIDES.forEach((side) => panes[side].niivue.setSliceType(PLANES[plane]));
    press("[data-plane]", root.querySelector(`[data-plane="${plane}"]`));
  }

  function tellConvention(isRadiological) {
    document.getElementById("convention").textContent = isRadiological
      ? "Radiological convention: the patient's left is on the right of the picture, as the marks say."
      : "Neurological convention: the patient's left is on the left of the picture, as the marks say.";
  }

  function setConvention(isRadiological) {
    SIDES.forEach((side) => panes[side].niivue.setRadiologicalConvention(isRadiological));
    tellConvention(isRadiological);
  }

  function setSplit(percent) {
    const split = Math.min(100, Math.max(0, percent));
    stage.style.setProperty("--split", `${split}%`);
    stage.querySelector(".divider").setAttribute("aria-valuenow", String(Math.round(split)));
  }

  const KEYS = {
    ArrowLeft: () => step(document.getElementById("radiological").checked ? 1 : -1, 0, 0),
    ArrowRight: () => step(document.getElementById("radiological").checked ? -1 : 1, 0, 0),
    ArrowUp: () => step(0, 1, 0),
    ArrowDown: () => step(0, -1, 0),
    PageUp: () => step(0, 0, 1),
    PageDown: () => step(0, 0, -1),
    m: () => setMode(MODES[(MODES.indexOf(stage.dataset.mode) + 1) % MODES.length]),
    b: () => setMode("single", stage.dataset.mode === "single" && stage.dataset.front === "left" ? "right" : "left"),
    1: () => setPlane("multiplanar"),
    2: () => setPlane("axial"),
    3: () => setPlane("coronal"),
    4: () => setPlane("sagittal"),
    r: resetView,
    w: () => { firstWindows(); Object.entries(windows).forEach(([kind, range]) => setWindow(kind, ...range)); },
  };

  function onKey(event) {
    const target = event.target;
    if (event.ctrlKey || event.altKey || event.metaKey || target.matches("select, input")) return;
    if (target.matches(".divider") && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      setSplit(parseFloat(stage.style.getPropertyValue("--split") || "50") + (event.key === "ArrowLeft" ? -2 : 2));
      event.preventDefault();
      return;
    }
    const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (target.matches("canvas")) event.stopPropagation(); // niivue has keys of its own, which these replace
    if (act) {
      event.preventDefault();
      act();
    }
  }

  function wireDivider() {
    const divider = stage.querySelector(".divider");
    divider.addEventListener("pointerdown", (event) => {
      divider.setPointerCapture(event.pointerId);
      event.preventDefault();
      divider.focus();
    });
    divider.addEventListener("pointermove", (event) => {
      if (!divider.hasPointerCapture(event.pointerId)) return;
      const frame = stage.getBoundingClientRect();
      setSplit(100 * (event.clientX - frame.left) / frame.width);
    });
  }

  function wireControls() {
    for (const button of root.querySelectorAll("button[data-mode]")) {
      button.addEventListener("click", () => setMode(button.dataset.mode));
    }
    for (const button of root.querySelectorAll("[data-plane]")) {
      button.addEventListener("click", () => setPlane(button.dataset.plane));
    }
    document.getElementById("radiological").addEventListener("change", (event) => setConvention(event.target.checked));
    document.getElementById("reset-view").addEventListener("click", resetView);
    document.getElementById("reset-window").addEventListener("click", KEYS.w);
    for (const side of SIDES) {
      document.getElementById(`${side}-layer`).addEventListener("change", (event) => {
        show(side, Number(event.target.value)).catch(fail);
      });
    }
    for (const [kind, scale] of Object.entries(view.scales)) {
      const low = document.getElementById(`${kind}-low`);
      const high = document.getElementById(`${kind}-high`);
      for (const input of [low, high].filter(Boolean)) {
        Object.assign(input, { min: 0, max: scale.stored, step: "any" });
        input.addEventListener("input", () => {
          const floor = low ? Number(low.value) : 0;
          if (input === low) setWindow(kind, floor, Math.max(windows[kind][1], floor + scale.step));
          else setWindow(kind, Math.min(floor, Math.max(0, Number(high.value) - scale.step)), Number(high.value));
        });
      }
    }
    root.addEventListener("keydown", onKey, true);
    root.addEventListener("keyup", (event) => event.target.matches("canvas") && event.stopPropagation(), true);
    wireDivider();
  }

  function fail(error) {
    message.hidden = false;
    message.textContent =
      `The viewer stopped: ${error.message ?? error}. The still pictures below show the same result.`;
    throw error;
  }

  async function start() {
    firstWindows();
    niivue.cmapper.addColormap(COLOURS.difference, DIVERGING);
    for (const side of SIDES) {
      const canvas = document.getElementById(`${side}-canvas`);
      const pane = new niivue.Niivue({
        logLevel: "error", loadingText: "", dragAndDropEnabled: false, viewModeHotKey: "", clipPlaneHotKey: "",
        cycleClipPlaneHotKey: "", dragMode: niivue.DRAG_MODE.pan,
        // No surface is drawn: the face of a whole head stays unseen.
        multiplanarShowRender: niivue.SHOW_RENDER.NEVER,
        isNearestInterpolation: false, crosshairColor: [0.3, 0.76, 0.9, 0.75], crosshairGap: 4,
        crosshairWidth: 0.7, crosshairWidthUnit: "mm", multiplanarPadPixels: 10,
        fontColor: [0.87, 0.9, 0.93, 1], fontMinPx: 14, showAllOrientationMarkers: true,
      });
      panes[side] = { niivue: pane };
      canvas.addEventListener("webglcontextlost", () => fail(new Error("the browser took its graphics memory back")));
      await pane.attachToCanvas(canvas);
      pane.onLocationChange = (location) => tellPlace(side, location);
    }
    panes.left.niivue.broadcastTo(panes.right.niivue, { "2d": true });
    panes.right.niivue.broadcastTo(panes.left.niivue, { "2d": true });
    wireControls();
    const second = Math.min(1, view.layers.length - 1);
    document.getElementById("right-layer").value = String(second);
    await show("left", 0);
    await show("right", second);
    setMode(view.layers.length === 1 ? "single" : "side");
    setPlane("multiplanar");
    tellConvention(false);
    resetView();
    message.hidden = true;
    root.dataset.ready = "true";
    window.bmenetViewer = { panes, view, windows };
  }

  start().catch(fail);
})();
